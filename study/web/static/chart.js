// Charts as inline SVG: lines, steps and dots over numbers, with the values under the pointer told in text.

import { el, show, svg } from "./dom.js";
import { number } from "./format.js";
import { domain, scale, ticks } from "./scales.js";

const MARGIN = { top: 10, right: 14, bottom: 34, left: 56 };
const HEIGHT = 230;

// Series: {name, colour (0 to 7), kind: "line" | "step" | "dots", points: [[x, y], …] in order of x}.
export class Chart {
  constructor({ label, x, titled = true }) {
    Object.assign(this, { label, x });
    this.series = [];
    this.marks = [];
    this.plot = el("div", { class: "plot" });
    this.told = el("p", { class: "told", "aria-hidden": "true" });
    this.legend = el("p", { class: "legend" });
    this.node = el("figure", { class: "chart" }, el("figcaption", { hidden: !titled }, label), this.plot, this.told, this.legend);
    this.plot.addEventListener("pointermove", (event) => this.tell(event));
    this.plot.addEventListener("pointerleave", () => this.forget());
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  // Marks: {x, y, colour, name}; `most` is the least upper end of the x axis.
  set({ series, marks = [], most = 0 }) {
    this.series = series.map((one) => ({ ...one, points: one.points.filter(([, y]) => typeof y === "number") }));
    this.series = this.series.filter((one) => one.points.length);
    Object.assign(this, { marks, most });
    this.draw();
  }

  draw() {
    const width = Math.floor(this.plot.clientWidth);
    if (width < 50) return;
    const points = this.series.flatMap((one) => one.points);
    if (!points.length) {
      this.at = null;
      show(this.plot, el("p", { class: "muted" }, "nothing reported yet"));
      show(this.legend);
      return;
    }
    const xs = domain(points.map(([x]) => x), this.most);
    const ys = domain(points.map(([, y]) => y), null, 0.06);
    const at = {
      x: scale(xs, [MARGIN.left, width - MARGIN.right]),
      y: scale(ys, [HEIGHT - MARGIN.bottom, MARGIN.top]),
    };
    this.at = at;
    this.rule = svg("line", { class: "rule", y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom, visibility: "hidden" });
    const summary = `${this.label}: ${this.series.map((one) => describe(one)).join("; ")}`;
    show(this.plot, svg(
      "svg",
      { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": summary },
      this.axes(at, xs, ys, width),
      this.series.map((one) => path(one, at)),
      this.marks.map((mark) => dot(mark, at)),
      this.rule,
    ));
    show(this.legend, this.series.map((one) => el("span", { class: "key", "data-colour": one.colour }, one.name)));
  }

  axes(at, xs, ys, width) {
    const below = HEIGHT - MARGIN.bottom;
    const grid = ticks(ys, 5).flatMap((y) => [
      svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: at.y(y), y2: at.y(y) }),
      svg("text", { class: "tick", x: MARGIN.left - 8, y: at.y(y) + 4, "text-anchor": "end" }, short(y)),
    ]);
    const places = ticks(xs, Math.max(3, Math.floor(width / 50))).filter(Number.isInteger);
    const along = places.map((x) => svg("text", { class: "tick", x: at.x(x), y: below + 16, "text-anchor": "middle" }, short(x)));
    const axis = svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: below, y2: below });
    const name = svg("text", { class: "tick", x: (MARGIN.left + width - MARGIN.right) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, this.x);
    return [...grid, ...along, axis, name];
  }

  tell(event) {
    if (!this.at) return;
    const left = event.clientX - this.plot.getBoundingClientRect().left;
    const all = this.series.flatMap((one) => one.points.map(([x]) => x));
    const x = all.reduce((best, each) => (Math.abs(this.at.x(each) - left) < Math.abs(this.at.x(best) - left) ? each : best));
    for (const [key, value] of [["x1", this.at.x(x)], ["x2", this.at.x(x)], ["visibility", "visible"]]) this.rule.setAttribute(key, value);
    const values = this.series.map((one) => [one, valueAt(one, x)]).filter(([, y]) => y !== null);
    show(this.told, `${this.x} ${number(x)}`, values.map(([one, y]) => el("span", { class: "key", "data-colour": one.colour }, `${one.name} ${number(y)}`)));
  }

  forget() {
    this.rule?.setAttribute("visibility", "hidden");
    show(this.told);
  }
}

function valueAt(one, x) {
  if (one.kind === "step") return one.points.findLast(([at]) => at <= x)?.[1] ?? null;
  return one.points.find(([at]) => at === x)?.[1] ?? null;
}

function describe(one) {
  const [x, y] = one.points.at(-1);
  return `${one.name}, ${one.points.length} points, last ${number(y)} at ${number(x)}`;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e5 || (size > 0 && size < 1e-3)) return value.toExponential(1);
  return String(Number(value.toPrecision(6)));
}

// One path for thousands of points: a dot is a line of no length with a round end.
function path(one, at) {
  const places = one.points.map(([x, y]) => [at.x(x).toFixed(1), at.y(y).toFixed(1)]);
  let d = places.map(([x, y], i) => `${i ? "L" : "M"}${x} ${y}`).join("");
  if (one.kind === "dots") d = places.map(([x, y]) => `M${x} ${y}h0`).join("");
  if (one.kind === "step") d = places.map(([x, y], i) => (i ? `H${x}V${y}` : `M${x} ${y}`)).join("");
  const line = svg("path", { class: `series ${one.kind ?? "line"}`, "data-colour": one.colour, d });
  if (one.kind === "dots" || one.points.length > 60) return line;
  const dots = svg("path", { class: "series dots points", "data-colour": one.colour, d: places.map(([x, y]) => `M${x} ${y}h0`).join("") });
  return svg("g", {}, line, one.kind === "step" ? "" : dots);
}

function dot(mark, at) {
  return svg("circle", { class: "mark", "data-colour": mark.colour, cx: at.x(mark.x), cy: at.y(mark.y), r: 6 }, svg("title", {}, mark.name));
}
