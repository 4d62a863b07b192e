// One trial, live.

import { Chart } from "./chart.js";
import { el, facts, section, show } from "./dom.js";
import { exportButton } from "./downloads.js";
import { DASH, age, any, clock, duration, metric, number } from "./format.js";
import { api, artifact, stockTrials } from "./places.js";
import { poll } from "./poll.js";
import { Table } from "./table.js";
import { stateOf } from "./trials.js";

const EVERY = 2000; // milliseconds

function best(study, values) {
  const sign = study.direction === "maximize" ? 1 : -1;
  return values.filter(([, y]) => typeof y === "number").reduce((found, each) => (found && sign * found[1] >= sign * each[1] ? found : each), null);
}

function curves(tree) {
  const { study, epochs, trial } = tree;
  const of = (key) => epochs.map((each) => [each.epoch, each[key]]);
  const top = best(study, trial.values);
  return {
    metric: {
      series: [{ name: study.metric, colour: 0, points: trial.values }],
      marks: top ? [{ x: top[0], y: top[1], colour: 1, name: `best: ${metric(top[1])} after epoch ${top[0]}` }] : [],
      most: study.epochs,
    },
    loss: {
      series: [{ name: "training", colour: 1, points: of("training_loss") }, { name: "validation", colour: 0, points: of("validation_loss") }],
      most: study.epochs,
    },
    rate: { series: [{ name: "learning rate", colour: 2, points: of("learning_rate") }], most: study.epochs },
  };
}

function heading(tree) {
  const { study, trial } = tree;
  const top = best(study, trial.values);
  const actions = [el("a", { class: "button", href: stockTrials(study.study_id, trial.number) }, "Optuna dashboard")];
  if (trial.state === "COMPLETE" && trial.ours) actions.unshift(...exportButton(study, "Export this trial (zip)", trial.number));
  return [
    el("h1", {}, `Trial ${trial.number} `, stateOf(trial)),
    el("p", { class: "actions" }, actions),
    facts([
      [study.metric, metric(trial.value)],
      ...study.objectives.slice(1).map((each, place) => [each.name, any(trial.all_values[place + 1])]),
      ["best epoch", top ? `${top[0]} (${metric(top[1])})` : DASH],
      ["epochs", `${trial.values.at(-1)?.[0] ?? 0} / ${study.epochs}`],
      ["attempts", number(trial.attempts)],
      ["begun", age(trial.started_at)],
      ["time", trial.seconds === null ? DASH : duration(trial.seconds)],
    ]),
  ];
}

const ATTEMPTS = [
  { key: "attempt", label: "attempt", head: true, cell: (a) => String(a.attempt) },
  { key: "worker", label: "worker", cell: (a) => `${a.host ?? "unknown"}#${a.slot}` },
  { key: "began", label: "began", cell: (a) => clock(a.started_at) },
  { key: "time", label: "time", numeric: true, cell: (a) => (a.seconds === null ? age(a.started_at, "") : duration(a.seconds)) },
  { key: "end", label: "ended as", cell: (a) => [a.state, a.failure && a.failure !== a.state ? ` (${a.failure})` : ""].join("") },
];

function pairs(mapping) {
  const rows = Object.entries(mapping).sort(([a], [b]) => a.localeCompare(b));
  if (!rows.length) return el("p", { class: "muted" }, "none");
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "values" }, el("table", { class: "pairs" },
    el("tbody", {}, rows.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, any(value)))))));
}

function artifacts(list) {
  const item = (each) => {
    const link = el("a", { href: artifact(each.path) }, each.filename);
    if (each.mimetype !== "image/png") return el("p", {}, link);
    const image = el("img", { src: artifact(each.path), alt: "", loading: "lazy", on: { error: () => image.remove() } });
    return el("figure", {}, el("a", { href: artifact(each.path), "aria-label": each.filename }, image), el("figcaption", {}, link));
  };
  return section("Files", "files", list.map(item));
}

export function trialView(main, refuse, study, given) {
  const [head, more, failure, files] = [el("header", { class: "head" }), el("div", { class: "columns" }), el("div"), el("div")];
  const charts = {
    metric: new Chart({ label: "Metric", x: "epoch" }),
    loss: new Chart({ label: "Loss", x: "epoch" }),
    rate: new Chart({ label: "Learning rate", x: "epoch" }),
  };
  const attempts = new Table({ columns: ATTEMPTS, rowKey: (a) => a.attempt, label: "attempts", cards: true, empty: "none: another Optuna program ran this trial" });
  const page = [head, failure, el("div", { class: "charts" }, Object.values(charts).map((each) => el("div", { class: "panel" }, each.node))),
    section("Attempts", "attempts", attempts.node), more, files];
  const said = {};

  // Parts that are the same stay, with whatever is selected or focused in them.
  function part(key, content, draw) {
    const text = JSON.stringify(content);
    if (said[key] !== text) draw();
    said[key] = text;
  }

  poll(`${api("trial", study)}?number=${given}`, (tree) => {
    const { trial } = tree;
    if (!main.contains(attempts.node)) show(main, page);
    part("head", [trial.state, trial.value, trial.values, trial.attempts], () => show(head, heading(tree)));
    part("failure", [trial.reason, trial.message], () => show(failure, trial.failure ? section("Failure", "failure",
      el("p", { class: "reason" }, trial.reason), trial.message && trial.message !== trial.reason ? el("pre", { tabindex: 0 }, trial.message) : "") : ""));
    const drawn = curves(tree);
    charts.metric.node.querySelector("figcaption").textContent = tree.study.metric;
    for (const [key, chart] of Object.entries(charts)) part(key, drawn[key], () => chart.set(drawn[key]));
    attempts.set(tree.attempts);
    part("more", [trial.parameters, trial.attributes], () => show(more,
      section("Hyperparameters", "hyperparameters", pairs(trial.parameters)), section("Attributes", "attributes", pairs(trial.attributes))));
    part("files", tree.artifacts, () => show(files, tree.artifacts.length ? artifacts(tree.artifacts) : ""));
  }, refuse, EVERY);
}
