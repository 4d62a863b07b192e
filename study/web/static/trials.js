// The table of all trials, from which some can be chosen to be compared.

import { badge, el } from "./dom.js";
import { DASH, any, duration, metric, number } from "./format.js";
import { comparePage, trialPage } from "./places.js";
import { Table } from "./table.js";

const MOST = 20; // trials beside each other

export class Trials {
  constructor(study) {
    this.study = study;
    this.chosen = new Set();
    this.names = [];
    this.others = [];
    this.front = new Set();
    this.button = el("a", { class: "button", "aria-disabled": "true" }, "Compare");
    this.table = new Table({ columns: this.columns(), rowKey: (row) => row.number, label: "trials", sort: { key: "number", down: true } });
    const note = el("p", { class: "actions" }, this.button, el("span", { class: "muted" }, "Choose two or more trials to see in what they differ."));
    this.node = el("div", {}, note, this.table.node);
  }

  set(rows, study) {
    this.metric = study.metric;
    this.best = study.best?.number;
    this.front = new Set(study.front);
    const others = study.objectives.slice(1).map((each) => each.name);
    const names = [...new Set(rows.flatMap((row) => Object.keys(row.parameters)))].sort();
    this.table.rows = rows;
    if ([...others, "", ...names].join("\0") !== [...this.others, "", ...this.names].join("\0")) {
      [this.names, this.others] = [names, others];
      this.table.setColumns(this.columns());
    } else {
      this.table.draw();
    }
  }

  choose(row, on) {
    if (on) this.chosen.add(row.number);
    else this.chosen.delete(row.number);
    const numbers = [...this.chosen].sort((a, b) => a - b);
    const usable = numbers.length >= 2 && numbers.length <= MOST;
    this.button.textContent = numbers.length > MOST ? `Compare: at most ${MOST}` : numbers.length ? `Compare ${numbers.length}` : "Compare";
    if (usable) this.button.setAttribute("href", comparePage(this.study, numbers));
    else this.button.removeAttribute("href");
    this.button.setAttribute("aria-disabled", String(!usable));
  }

  box(row) {
    const box = el("input", { type: "checkbox", "aria-label": `choose trial ${row.number}`, on: { change: () => this.choose(row, box.checked) } });
    box.checked = this.chosen.has(row.number);
    return box;
  }

  columns() {
    const parameters = this.names.map((name) => ({
      key: `parameter ${name}`, label: name, value: (row) => row.parameters[name], cell: (row) => any(row.parameters[name]),
    }));
    // The values of the other objectives, and whether the trial is on the front.
    const others = this.others.map((name, place) => ({
      key: `objective ${name}`, label: name, numeric: true, value: (row) => row.all_values[place + 1], cell: (row) => any(row.all_values[place + 1]),
    }));
    if (others.length) others.push({ key: "front", label: "front", down: true, value: (row) => Number(this.front.has(row.number)), cell: (row) => (this.front.has(row.number) ? "★" : "") });
    return [
      { key: "choose", label: "", cell: (row) => this.box(row) },
      { key: "number", label: "trial", numeric: true, down: true, value: (row) => row.number, cell: (row) => el("a", { href: trialPage(this.study, row.number) }, String(row.number)) },
      { key: "state", label: "state", value: (row) => row.state + (row.failure ?? ""), cell: (row) => stateOf(row) },
      { key: "value", label: this.metric ?? "value", numeric: true, down: true, value: (row) => row.value, cell: (row) => metric(row.value) },
      ...others,
      { key: "epoch", label: "epochs", numeric: true, down: true, value: (row) => row.epoch, cell: (row) => number(row.epoch) },
      { key: "attempts", label: "attempts", numeric: true, down: true, value: (row) => row.attempts, cell: (row) => (row.ours ? number(row.attempts) : DASH) },
      { key: "seconds", label: "time", numeric: true, down: true, value: (row) => row.seconds, cell: (row) => duration(row.seconds) },
      ...parameters,
    ];
  }
}

export function stateOf(trial) {
  const why = trial.failure && trial.state !== "RUNNING" ? ` (${trial.failure})` : "";
  return badge(trial.state, trial.state.toLowerCase() + why);
}
