// Which hyperparameters mattered: computed when somebody opens it, since it looks at all trials.

import { bar, el, show } from "./dom.js";
import { number } from "./format.js";
import { api } from "./places.js";
import { ask } from "./poll.js";

function row(one) {
  const share = `${one.share.toFixed(2)} ± ${one.sigma.toFixed(2)}`;
  return el("tr", { class: one.told ? null : "muted" }, el("th", { scope: "row" }, one.name),
    el("td", {}, bar(one.share, 1, `share of ${one.name}`), " ", share), el("td", {}, one.told ? "yes" : "no"),
    el("td", {}, one.told ? one.best : ""));
}

function group(found) {
  const heads = ["hyperparameter", "share", "told from chance", "best tenth"].map((text) => el("th", { scope: "col" }, text));
  const table = el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, found.parameters.map(row)));
  return [
    el("h3", {}, `${found.group}${found.objective ? `, by ${found.objective}` : ""}: ${number(found.trials)} trials, ${number(found.complete)} complete`),
    found.note ? el("p", { class: "muted" }, found.note) : "",
    found.parameters.length
      ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `importance, ${found.group}` }, table) : "",
  ];
}

export function mattered(name) {
  const body = el("div", {}, el("p", { class: "muted" }, "looking at all trials…"));
  const node = el("details", { on: { toggle: open } }, el("summary", {}, "Shares of PED-ANOVA's importance, and what can be told from chance"), body);

  async function open() {
    if (!node.open) return;
    try {
      const { importance } = await ask(api("importance", name));
      show(body, importance.flatMap(group));
    } catch (error) {
      show(body, el("p", { class: "warning" }, error.message));
    }
  }

  return node;
}
