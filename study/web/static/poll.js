// Asks the server again and again for what has changed, while somebody looks.

import { setClock } from "./format.js";

const LONGEST = 60_000; // milliseconds between tries while the server is away
const PATIENCE = 30_000; // milliseconds for one answer

export class Refused extends Error {
  constructor(status, reason) {
    super(reason || `the server answered with status ${status}`);
    this.status = status;
  }
}

function say(text, state) {
  const live = document.getElementById("live");
  live.textContent = text;
  live.dataset.state = state;
}

// The answer as JSON, or null where nothing is new.
export async function ask(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status === 204) return null;
  if (answer.status === 401) location.reload(); // the login is over
  const text = await answer.text();
  let tree = {};
  try {
    tree = JSON.parse(text);
  } catch {
    if (answer.ok) throw new Refused(answer.status, "the server's answer is no JSON");
  }
  if (!answer.ok) throw new Refused(answer.status, tree.reason ?? text.slice(0, 500));
  return tree;
}

// Calls `take` with each new answer, `refuse` with a reason for which there is none.
export function poll(address, take, refuse, every = 2500) {
  let [since, wait, timer, busy] = [null, every, null, false];

  async function turn() {
    clearTimeout(timer);
    if (document.hidden || busy) return;
    busy = true;
    try {
      const tree = await ask(since === null ? address : `${address}${address.includes("?") ? "&" : "?"}since=${since}`);
      wait = every;
      say("live", "live");
      if (tree !== null) {
        setClock(tree.now);
        since = tree.version ?? null;
        take(tree);
      }
    } catch (error) {
      wait = Math.min(2 * wait, LONGEST);
      if (error instanceof Refused && error.status < 500) {
        since = null;
        say("no answer", "away");
        refuse(error);
      } else {
        if (!(error instanceof Refused || error instanceof DOMException || error instanceof TypeError)) throw error;
        say(`server away, next try in ${Math.round(wait / 1000)} s`, "away");
      }
    } finally {
      busy = false;
      timer = setTimeout(turn, wait);
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) say("paused", "paused");
    else turn();
  });
  globalThis.addEventListener("online", turn);
  turn();
}
