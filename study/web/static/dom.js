// Elements made without markup: whatever comes from a study becomes text, never HTML.

const SVG = "http://www.w3.org/2000/svg";

// Properties: `class`, `on` (listeners by event), or attributes; null and false leave an attribute out.
function fill(node, properties, children) {
  for (const [key, value] of Object.entries(properties ?? {})) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(key, value === true ? "" : String(value));
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export function el(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function svg(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

export function show(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
}

// Writes only what differs, so that nothing flickers and a selection of text survives.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function section(title, id, ...children) {
  return el("section", { class: "panel", "aria-labelledby": id }, el("h2", { id }, title), ...children);
}

// A description list; values are text or elements.
export function facts(pairs) {
  return el(
    "dl",
    { class: "facts" },
    pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

export function badge(state, text) {
  return el("span", { class: "badge", "data-state": state.toLowerCase() }, text ?? state.toLowerCase());
}

export function bar(part, whole, label) {
  return el("progress", { class: "bar", max: Math.max(whole, 1), value: Math.min(part, whole), "aria-label": label });
}
