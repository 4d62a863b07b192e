// A table that can be sorted and grows on demand; rows that have not changed stay as they are.

import { el, show } from "./dom.js";

const STEP = 100; // rows shown at first, and more of with each press

// Columns: {key, label, cell(row), value(row) to sort by, numeric, hidden label for narrow screens}.
export class Table {
  constructor({ columns, rowKey, label, empty = "none yet", cards = false, sort = null, onShown = null }) {
    Object.assign(this, { rowKey, empty, cards, onShown });
    this.sorted = sort ?? { key: null, down: false };
    this.limit = STEP;
    this.rows = [];
    this.made = new Map();
    this.head = el("tr");
    this.body = el("tbody");
    this.more = el("button", { class: "more", hidden: true, on: { click: () => this.grow() } });
    this.note = el("p", { class: "muted", hidden: true }, empty);
    const table = el("table", { class: cards ? "cards" : null }, el("thead", {}, this.head), this.body);
    const box = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
    this.box = box;
    this.node = el("div", {}, box, this.note, this.more);
    this.setColumns(columns);
  }

  setColumns(columns) {
    this.columns = columns;
    this.made.clear();
    show(this.head, columns.map((column) => this.heading(column)));
    this.draw();
  }

  heading(column) {
    const mark = this.sorted.key === column.key ? (this.sorted.down ? "descending" : "ascending") : null;
    const sortable = column.value !== undefined;
    const content = sortable ? el("button", { on: { click: () => this.sortBy(column) } }, column.label) : column.label;
    return el("th", { scope: "col", class: column.numeric ? "number" : null, "aria-sort": mark }, content);
  }

  sortBy(column) {
    const down = this.sorted.key === column.key ? !this.sorted.down : Boolean(column.down);
    this.sorted = { key: column.key, down };
    const focused = [...this.head.children].findIndex((cell) => cell.contains(document.activeElement));
    show(this.head, this.columns.map((each) => this.heading(each)));
    this.head.children[focused]?.querySelector("button")?.focus();
    this.draw();
  }

  set(rows) {
    this.rows = rows;
    this.draw();
  }

  grow() {
    this.limit += STEP;
    this.draw();
  }

  ordered() {
    const column = this.columns.find((each) => each.key === this.sorted.key);
    if (!column) return this.rows;
    const sign = this.sorted.down ? -1 : 1;
    return this.rows
      .map((row) => [column.value(row), row])
      .sort(([a], [b]) => compare(a, b, sign))
      .map(([, row]) => row);
  }

  draw() {
    const shown = this.ordered().slice(0, this.limit);
    const keep = new Map(shown.map((row) => [this.rowKey(row), this.rowNode(row)]));
    this.made = keep;
    const nodes = [...keep.values()].map(({ node }) => node);
    // Moving a row takes the focus out of it, so rows move only when their order differs.
    if (nodes.length !== this.body.children.length || nodes.some((node, i) => node !== this.body.children[i])) {
      const focused = document.activeElement;
      show(this.body, nodes);
      if (this.body.contains(focused)) focused.focus({ preventScroll: true });
    }
    const left = this.rows.length - shown.length;
    this.more.hidden = left <= 0;
    this.more.textContent = `Show ${Math.min(STEP, left)} more of ${left.toLocaleString("en-US")}`;
    this.note.hidden = this.rows.length > 0;
    this.box.hidden = this.rows.length === 0;
    this.onShown?.();
  }

  rowNode(row) {
    const known = this.made.get(this.rowKey(row));
    if (known && known.row === row) return known;
    const cells = this.columns.map((column) =>
      el(column.head ? "th" : "td", {
        scope: column.head ? "row" : null,
        class: column.numeric ? "number" : null,
        "data-label": column.label,
      }, column.cell(row)));
    const node = known?.node ?? el("tr");
    const place = known ? focusPlace(node) : null;
    show(node, cells);
    if (place) node.children[place.cell]?.querySelectorAll("a, button, input")[place.within]?.focus({ preventScroll: true });
    return { row, node };
  }
}

function focusPlace(node) {
  const cell = [...node.children].findIndex((each) => each.contains(document.activeElement));
  if (cell < 0) return null;
  return { cell, within: [...node.children[cell].querySelectorAll("a, button, input")].indexOf(document.activeElement) };
}

// Unknown values come last, whichever way.
function compare(a, b, sign) {
  const [noA, noB] = [a === null || a === undefined, b === null || b === undefined];
  if (noA || noB) return noA - noB;
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "en", { numeric: true });
}
