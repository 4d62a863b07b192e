// One study: how it stands, what runs now, what failed, all trials.

import { Chart } from "./chart.js";
import { bar, el, section, show } from "./dom.js";
import { downloads } from "./downloads.js";
import { Failures } from "./failures.js";
import { age, any, duration, hours, metric, number } from "./format.js";
import { mattered } from "./mattered.js";
import { api, trialPage } from "./places.js";
import { poll } from "./poll.js";
import { counts, rate, stateBadge } from "./studies.js";
import { Trials } from "./trials.js";
import { Workers } from "./workers.js";

function tile(label, value, more) {
  return el("div", { class: "tile" }, el("span", { class: "label" }, label), el("span", { class: "value" }, value),
    el("span", { class: "more" }, more ?? ""));
}

function tiles(study) {
  const done = study.budget ? `of ${number(study.budget)} trials` : "trials";
  const best = study.best ? [el("a", { href: trialPage(study.name, study.best.number) }, `trial ${study.best.number}`)] : "";
  const front = study.objectives.map((each) => `${each.name} (${each.direction})`).join(", ");
  const tested = study.test !== null ? "of the best trial" : study.tested ? `opened for ${study.tested} others` : "not opened";
  const bad = [study.lost ? `${study.lost} lost` : "", study.quarantined ? `${study.quarantined} device${study.quarantined > 1 ? "s" : ""} quarantined` : ""].filter(Boolean).join(", ");
  const workers = bad ? el("span", { class: "warning" }, bad) : `of ${number(study.workers)} workers`;
  return [
    tile("trials ended", number(study.finished), [done, study.budget ? bar(study.finished, study.budget, "progress") : ""]),
    tile(`best ${study.metric}`, metric(study.best?.value), best),
    ...(study.objectives.length > 1 ? [tile("Pareto front", number(study.front.length), front)] : []),
    tile(`test ${study.metric}`, metric(study.test), tested),
    tile("running", number(study.running), workers),
    tile("GPU-hours", hours(study.device_seconds), "of all devices"),
    tile("trials per hour", rate(study.rate), "over the last ones"),
    tile("time left", duration(study.eta_s), "at this rate"),
    tile("last seen", age(study.active_at), counts(study)),
  ];
}

// Values of complete trials, and the best of them so far.
function curve(study, trials) {
  const better = study.direction === "maximize" ? (a, b) => a > b : (a, b) => a < b;
  const complete = trials.filter((trial) => trial.state === "COMPLETE" && typeof trial.value === "number" && trial.ours);
  complete.sort((a, b) => a.number - b.number);
  const points = complete.map((trial) => [trial.number, trial.value]);
  const steps = [];
  for (const [x, y] of points) if (!steps.length || better(y, steps.at(-1)[1])) steps.push([x, y]);
  if (steps.length) steps.push([points.at(-1)[0], steps.at(-1)[1]]);
  return [
    { name: "complete trials", colour: 4, kind: "dots", points },
    { name: "best so far", colour: 1, kind: "step", points: steps },
  ];
}

function parameters(study, trials) {
  const best = study.best && trials.get(study.best.number);
  if (!best) return el("p", { class: "muted" }, "no complete trial yet");
  const rows = Object.entries(best.parameters).map(([name, value]) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, any(value))));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "best hyperparameters" },
    el("table", { class: "pairs" }, el("tbody", {}, rows)));
}

export function studyView(main, refuse, name) {
  const trials = new Map();
  const head = el("header", { class: "head" });
  const numbers = el("div", { class: "tiles" });
  const best = el("div");
  const chart = new Chart({ label: "best so far", x: "trial", titled: false });
  const [workers, failures, table] = [new Workers(name), new Failures(name), new Trials(name)];
  const page = [
    head,
    numbers,
    el("div", { class: "columns" },
      section("Best so far", "curve", chart.node),
      section("Best hyperparameters", "best", best)),
    section("What runs now", "running", workers.node),
    section("Failures", "failures", failures.node),
    section("What mattered", "mattered", mattered(name)),
    section("Trials", "trials", table.node),
  ];
  let shown = "";

  poll(api("study", name), (tree) => {
    const { study } = tree;
    if (!main.contains(numbers)) show(main, page);
    if (tree.full) trials.clear();
    for (const trial of tree.trials) trials.set(trial.number, trial);
    const said = JSON.stringify([study.state, study.reason]);
    if (said !== shown) {
      shown = said;
      show(head, el("h1", {}, study.name, " ", stateBadge(study)), downloads(study), study.reason ? el("p", { class: "reason" }, study.reason) : "");
    }
    const focused = numbers.contains(document.activeElement);
    show(numbers, tiles(study));
    if (focused) numbers.querySelector("a")?.focus({ preventScroll: true });
    workers.set(tree.running, tree.idle, study);
    failures.set(tree.failures);
    if (tree.trials.length || tree.full) {
      chart.set({ series: curve(study, [...trials.values()]) });
      show(best, parameters(study, trials));
      table.set([...trials.values()], study);
    }
  }, refuse);
}

