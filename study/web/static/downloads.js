// What can be taken away from a study: its configuration, an export, the stock dashboard's view.

import { el } from "./dom.js";
import { file, stockPage } from "./places.js";

async function fetched(address) {
  const answer = await fetch(address);
  if (answer.ok) return answer.blob();
  const text = await answer.text();
  let reason = text;
  try {
    reason = JSON.parse(text).reason ?? text;
  } catch {
    // plain text
  }
  throw new Error(reason || `the server answered with status ${answer.status}`);
}

function save(blob, name) {
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// A button that makes an export and saves it; what goes wrong is told beside it.
export function exportButton(study, label, trial = null) {
  const told = el("span", { class: "told", role: "status" });
  const button = el("button", { on: { click: make } }, label);

  async function make() {
    button.disabled = true;
    told.textContent = "loading the data and checking the weights…";
    told.classList.remove("warning");
    try {
      const blob = await fetched(`${file("export", study.name, "zip")}${trial === null ? "" : `?trial=${trial}`}`);
      save(blob, `${study.name.replace(/[^\w.+-]+/g, "-")}${trial === null ? "" : `-trial-${trial}`}.zip`);
      told.textContent = "saved";
    } catch (error) {
      told.textContent = error.message;
      told.classList.add("warning");
    } finally {
      button.disabled = false;
    }
  }

  return [button, told];
}

export function downloads(study) {
  return el("p", { class: "actions" },
    study.best || study.state === "finished" || study.finished ? exportButton(study, "Export the best trial (zip)") : "",
    el("a", { class: "button", href: file("config", study.name, "yaml"), download: "config.yaml" }, "config.yaml"),
    el("a", { class: "button", href: stockPage(study.study_id) }, "Optuna dashboard"));
}
