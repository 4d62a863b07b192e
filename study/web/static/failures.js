// Trials that failed, by class; a traceback is fetched when somebody wants to see it.

import { badge, el, show } from "./dom.js";
import { age, number } from "./format.js";
import { api, trialPage } from "./places.js";
import { ask } from "./poll.js";

export class Failures {
  constructor(study) {
    this.study = study;
    this.groups = new Map();
    this.node = el("div", {}, el("p", { class: "muted" }, "none"));
  }

  set(groups) {
    const nodes = groups.map((group) => this.group(group));
    if (!groups.length) nodes.push(el("p", { class: "muted" }, "none"));
    if (nodes.length !== this.node.children.length || nodes.some((node, i) => node !== this.node.children[i])) show(this.node, nodes);
  }

  // A group that has not changed stays, opened or not.
  group(group) {
    const known = this.groups.get(group.failure);
    const said = JSON.stringify(group);
    if (known?.said === said) return known.node;
    const node = known?.node ?? el("details", { class: "failure" });
    show(node, this.parts(group));
    this.groups.set(group.failure, { node, said });
    return node;
  }

  parts(group) {
    const numbers = group.numbers.flatMap((each, i) => [i ? ", " : "", el("a", { href: trialPage(this.study, each) }, String(each))]);
    const more = group.count > group.numbers.length ? ` and ${number(group.count - group.numbers.length)} older` : "";
    const [newest] = group.numbers;
    const trace = el("pre", { hidden: true, tabindex: 0 });
    const button = el("button", { on: { click: () => this.open(trace, button, newest) } }, `Traceback of trial ${newest}`);
    return [
      el("summary", {}, badge(group.state === "PRUNED" ? "pruned" : "fail", group.failure), el("strong", {}, ` ${number(group.count)} × `),
        el("span", { class: "why" }, group.reason), el("span", { class: "muted" }, " ", age(group.newest))),
      el("p", {}, "Trials ", numbers, more),
      el("p", {}, button),
      trace,
    ];
  }

  async open(trace, button, number) {
    button.disabled = true;
    try {
      const { trial } = await ask(`${api("trial", this.study)}?number=${number}`);
      trace.textContent = trial.message ?? trial.reason ?? "no message was kept";
    } catch (error) {
      trace.textContent = error.message;
      button.disabled = false;
    }
    trace.hidden = false;
  }
}
