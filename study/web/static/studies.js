// All studies side by side.

import { badge, bar, el, show } from "./dom.js";
import { DASH, age, duration, hours, metric, number } from "./format.js";
import { api, studyPage, stockPage } from "./places.js";
import { poll } from "./poll.js";
import { Table } from "./table.js";

const COUNTED = ["COMPLETE", "PRUNED", "FAIL"];

export function counts(study) {
  const marks = COUNTED.filter((state) => study.counts?.[state]).map((state) =>
    el("span", { class: "count", "data-state": state.toLowerCase(), title: state }, `${number(study.counts[state])} ${state.toLowerCase()}`));
  return marks.length ? el("span", { class: "counts" }, marks) : "";
}

export function stateBadge(study) {
  if (study.error) return badge("halted", "unreadable");
  if (study.state === "optuna") return badge("waiting", "Optuna's own");
  return badge(study.state);
}

function progress(study) {
  if (study.finished === undefined) return `${number(study.trials)} trials`;
  if (!study.budget) return `${number(study.finished)} trials`;
  const text = `${number(study.finished)} / ${number(study.budget)}`;
  return el("span", { class: "progress" }, bar(study.finished, study.budget, `${text} trials`), text);
}

function best(study) {
  if (!study.best) return DASH;
  const front = study.objectives.length > 1 ? `, front of ${study.front.length}` : "";
  return el("span", {}, el("strong", {}, metric(study.best.value)), el("span", { class: "muted under" }, ` ${study.metric}, trial ${study.best.number}${front}`));
}

function name(study) {
  const known = study.state !== "optuna" && !study.error;
  const link = known ? el("a", { href: studyPage(study.name) }, study.name) : el("span", {}, study.name);
  const reason = study.error ?? study.reason;
  const stock = el("a", { class: "aside", href: stockPage(study.study_id), "aria-label": `${study.name} in Optuna's dashboard` }, "Optuna");
  return [link, " ", stock, reason ? el("span", { class: "reason" }, reason) : ""];
}

const COLUMNS = [
  { key: "name", label: "study", head: true, value: (s) => s.name, cell: name },
  { key: "state", label: "state", value: (s) => s.state, cell: stateBadge },
  { key: "progress", label: "trials", value: (s) => s.finished ?? s.trials, down: true, cell: (s) => [progress(s), counts(s)] },
  { key: "best", label: "best (validation)", value: (s) => s.best?.value, down: true, cell: best },
  { key: "test", label: "test", numeric: true, value: (s) => s.test, down: true, cell: (s) => metric(s.test) },
  { key: "running", label: "running", numeric: true, value: (s) => s.running, down: true, cell: running },
  { key: "hours", label: "GPU-hours", numeric: true, value: (s) => s.device_seconds, down: true,
    cell: (s) => (s.device_seconds === undefined ? DASH : hours(s.device_seconds)) },
  { key: "rate", label: "trials/h", numeric: true, value: (s) => s.rate, down: true, cell: (s) => rate(s.rate) },
  { key: "eta", label: "left", numeric: true, value: (s) => s.eta_s, cell: (s) => duration(s.eta_s) },
  { key: "active", label: "last seen", value: (s) => s.active_at, down: true, cell: (s) => age(s.active_at) },
];

function running(study) {
  return [study.running === undefined ? DASH : number(study.running), study.lost ? el("span", { class: "warning" }, ` ${study.lost} lost`) : ""];
}

export function rate(value) {
  if (typeof value !== "number") return DASH;
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US");
}

export function studiesView(main, refuse) {
  const known = new Map();
  const filter = el("input", { type: "search", id: "filter", placeholder: "name or state", autocomplete: "off", on: { input: draw } });
  const table = new Table({ columns: COLUMNS, rowKey: (s) => s.study_id, label: "studies", cards: true,
    empty: "No study yet; start one with: studyhall launch STUDY.yaml", sort: { key: "active", down: true } });
  const tally = el("span", { class: "muted", role: "status" });

  function draw() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (study) => `${study.name} ${study.state} ${study.metric ?? ""}`.toLowerCase();
    const chosen = [...known.values()].filter((study) => words.every((word) => text(study).includes(word)));
    table.set(chosen);
    tally.textContent = words.length ? `${chosen.length} of ${known.size}` : `${known.size}`;
    table.note.textContent = words.length ? "No study matches the filter." : table.empty;
  }

  poll(api("studies"), (tree) => {
    if (!main.contains(table.node)) {
      show(main, el("div", { class: "heading" }, el("h1", {}, "Studies ", tally), el("label", { for: "filter" }, "Filter ", filter)), table.node);
    }
    for (const study of tree.studies) known.set(study.study_id, study);
    for (const id of [...known.keys()]) if (!tree.ids.includes(id)) known.delete(id);
    draw();
  }, refuse);
}
