// What each worker does now.

import { badge, bar, el } from "./dom.js";
import { DASH, duration, memory, metric } from "./format.js";
import { trialPage } from "./places.js";
import { Table } from "./table.js";

const GPU_COLUMNS = [
  { key: "gpu", label: "GPU", numeric: true, cell: (row) => rounded(row.gpu_utilisation, "%") },
  { key: "gpu_memory", label: "GPU memory", numeric: true, cell: (row) => (typeof row.gpu_used_mb === "number" ? `${memory(row.gpu_used_mb)} of ${memory(row.gpu_total_mb)}` : DASH) },
  { key: "power", label: "GPU power", numeric: true, cell: (row) => rounded(row.gpu_power_w, "W") },
];

function rounded(value, unit) {
  return typeof value === "number" ? `${Math.round(value)} ${unit}` : DASH;
}

export class Workers {
  constructor(study) {
    this.study = study;
    this.epochs = 0;
    this.gpus = false;
    this.table = new Table({ columns: this.columns(), rowKey: (row) => row.key, label: "workers", cards: true, empty: "no worker; start some with: studyhall worker NAME" });
    this.node = this.table.node;
  }

  set(running, idle, study) {
    this.epochs = study.epochs;
    const busy = running.map((one) => ({ ...one, key: `trial ${one.number}` }));
    const free = idle.map((one) => ({ ...one, key: `idle ${one.worker}` }));
    const rows = [...busy, ...free];
    const gpus = rows.some((row) => typeof (row.gpu_utilisation ?? row.gpu_used_mb ?? row.gpu_power_w) === "number");
    this.table.set(rows);
    if (gpus !== this.gpus) {
      this.gpus = gpus;
      this.table.setColumns(this.columns());
    }
  }

  columns() {
    return [
      { key: "worker", label: "worker", head: true, cell: (row) => [row.worker, this.bad(row)] },
      { key: "trial", label: "trial", cell: (row) => this.trial(row) },
      { key: "epoch", label: "epoch", cell: (row) => this.epoch(row) },
      { key: "value", label: "last value", numeric: true, cell: (row) => metric(row.value) },
      { key: "time", label: "in trial", numeric: true, cell: (row) => duration(row.seconds) },
      { key: "seen", label: "seen", numeric: true, cell: (row) => (typeof row.idle_s === "number" ? `${duration(row.idle_s)} ago` : DASH) },
      { key: "memory", label: "memory", numeric: true, cell: (row) => memory(row.memory_mb) },
      { key: "use", label: "utilisation", numeric: true, cell: (row) => rounded(row.utilisation, "%") },
      ...(this.gpus ? GPU_COLUMNS : []),
    ];
  }

  bad(row) {
    if (row.quarantined) return badge("quarantined");
    return row.lost ? badge("lost") : "";
  }

  trial(row) {
    if (row.number === undefined) return el("span", { class: "muted" }, row.quarantined ?? "idle");
    const again = row.attempt > 1 ? el("span", { class: "muted" }, ` attempt ${row.attempt}`) : "";
    return [el("a", { href: trialPage(this.study, row.number) }, `trial ${row.number}`), again];
  }

  epoch(row) {
    if (row.number === undefined) return DASH;
    const text = `${row.epoch} / ${this.epochs}`;
    return el("span", { class: "progress" }, bar(row.epoch, this.epochs, `epoch ${text}`), text);
  }
}
