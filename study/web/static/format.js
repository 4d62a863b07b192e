// Numbers and times as text; null, which also stands for NaN, is a dash.

import { el, write } from "./dom.js";

export const DASH = "–";

export function number(value, digits = 4) {
  if (typeof value !== "number") return DASH;
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(Math.max(digits - 2, 1));
  return size >= 1000 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(digits);
}

// A metric: always so many decimals, so that a column can be compared.
export function metric(value) {
  if (typeof value !== "number") return DASH;
  return Math.abs(value) < 1000 ? value.toFixed(4) : number(value);
}

export function any(value) {
  if (value === null || value === undefined) return DASH;
  if (typeof value === "number") return number(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

export function duration(seconds) {
  if (typeof seconds !== "number") return DASH;
  if (seconds < 0) return "0 s";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = units.findIndex(([, size]) => seconds >= size);
  const [[unit, size], [small, part]] = [units[at], units[at + 1]];
  const [whole, left] = [Math.floor(seconds / size), Math.floor((seconds % size) / part)];
  return `${whole} ${unit}${left && whole < 10 ? ` ${left} ${small}` : ""}`;
}

export function hours(seconds) {
  const value = seconds / 3600;
  return `${value < 1 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US")} h`;
}

export function memory(megabytes) {
  if (typeof megabytes !== "number") return DASH;
  return megabytes < 1000 ? `${Math.round(megabytes)} MB` : `${(megabytes / 1000).toFixed(1)} GB`;
}

export function clock(seconds) {
  return typeof seconds === "number" ? new Date(seconds * 1000).toLocaleString() : DASH;
}

function rough(seconds) {
  const [unit, size] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].find(([, each]) => seconds >= each) ?? ["s", 1];
  return `${Math.floor(seconds / size)} ${unit}`;
}

let ahead = 0; // seconds by which the server's clock is ahead of this one's

export function setClock(now) {
  if (typeof now === "number") ahead = now - Date.now() / 1000;
}

// A time that tells its age, and goes on doing so.
export function age(at, words = "ago") {
  if (typeof at !== "number") return DASH;
  const node = el("time", { datetime: new Date(at * 1000).toISOString(), title: clock(at) });
  node.dataset.at = at;
  node.dataset.words = words;
  tell(node);
  return node;
}

function tell(node) {
  const seconds = Math.max(0, Date.now() / 1000 + ahead - Number(node.dataset.at));
  write(node, seconds < 3 && node.dataset.words ? "just now" : `${rough(seconds)} ${node.dataset.words}`.trim());
}

setInterval(() => {
  if (!document.hidden) for (const node of document.querySelectorAll("time[data-at]")) tell(node);
}, 1000);
