// Trials beside each other: only that in which they differ, and their curves.

import { Chart } from "./chart.js";
import { el, section, show } from "./dom.js";
import { DASH, any } from "./format.js";
import { api, trialPage } from "./places.js";
import { poll } from "./poll.js";

const COLOURS = 8;

function heading(study, trial, i) {
  return el("th", { scope: "col", class: "number" }, el("a", { href: trialPage(study.name, trial.number), class: "key", "data-colour": i % COLOURS }, `trial ${trial.number}`));
}

function row(difference) {
  const cells = difference.values.map((value, i) => {
    const good = difference.best.includes(i);
    return el("td", { class: `number${good ? " good" : ""}` }, any(value), good ? el("span", { class: "star", title: "best" }, " ★") : "");
  });
  return el("tr", {}, el("th", { scope: "row" }, difference.key), cells);
}

function table({ study, trials, differences }) {
  if (!differences.length) return el("p", { class: "muted" }, "These trials do not differ.");
  const parts = [["result", "Results"], ["hyperparameter", "Hyperparameters"], ["attribute", "Attributes"]].map(([kind, title]) => {
    const rows = differences.filter((each) => each.kind === kind);
    if (!rows.length) return "";
    return el("tbody", {}, el("tr", { class: "group" }, el("th", { scope: "rowgroup", colspan: trials.length + 1 }, title)), rows.map(row));
  });
  const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), trials.map((trial, i) => heading(study, trial, i))));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "differences" }, el("table", { class: "differences" }, head, parts));
}

function lines(trials, points) {
  return trials.map((trial, i) => ({ name: `trial ${trial.number}`, colour: i % COLOURS, points: points(trial) }));
}

export function compareView(main, refuse, study, numbers) {
  const [values, losses] = [new Chart({ label: "Metric", x: "epoch" }), new Chart({ label: "Validation loss", x: "epoch" })];
  const place = el("div");
  const page = [
    el("h1", {}, `Trials ${numbers.split(",").join(", ")}`),
    section("Differences", "differences", place),
    el("div", { class: "charts" }, [values, losses].map((chart) => el("div", { class: "panel" }, chart.node))),
  ];
  let said = null;

  poll(`${api("compare", study)}?trials=${encodeURIComponent(numbers)}`, (tree) => {
    if (!main.contains(place)) show(main, page);
    const text = JSON.stringify(tree);
    if (text === said) return;
    said = text;
    show(place, table(tree));
    values.node.querySelector("figcaption").textContent = tree.study.metric ?? DASH;
    values.set({ series: lines(tree.trials, (trial) => trial.values), most: tree.study.epochs });
    losses.set({ series: lines(tree.trials, (trial) => trial.epochs.map((each) => [each.epoch, each.validation_loss])), most: tree.study.epochs });
  }, refuse, 3000);
}
