// The chart of one signal, from the click on it on.

import { Chart } from "./chart.js";
import { h, setText } from "./dom.js";
import { signalText } from "./frame_row.js";

const MOST_POINTS = 3000;
/** Seconds of a signal that are kept. */
const KEPT_S = 300;

export class SignalChart {
  constructor() {
    this.row = null;
    this.chart = null;
    this.heading = h("h3", { tabindex: "-1" });
    this.value = h("span", { class: "signal-now" });
    this.place = h("div", {});
    this.element = h("div", { class: "signal-chart", hidden: true },
      h("div", { class: "panel-head" }, this.heading, this.value, h("button", { type: "button", class: "button", onclick: () => this.hide() }, "Close chart")), this.place);
  }

  show(row, name, table) {
    this.close();
    this.row = row.key;
    this.name = name;
    this.table = table;
    this.times = [];
    this.values = [];
    const signal = row.decoded.signals[name];
    setText(this.heading, `${name} · ${row.decoded.message} ${row.key}`);
    this.chart = new Chart(`${name} over time`,
      [{ label: name, colour: "--accent", scale: "value", stepped: true, value: (_plot, value) => (value == null ? "–" : signalText({ ...signal, name: undefined, value })) }],
      [{ scale: "value" }],
      { value: { range: (_plot, low, high) => around(low, high) } });
    this.place.replaceChildren(this.chart.element);
    this.element.hidden = false;
    this.add(row, row.decoded, Date.now() / 1000);
    this.timer = setInterval(() => this.draw(), 250);
    this.heading.focus();
    table.watchChanged();
  }

  hide() {
    const row = this.table.rows.get(this.row);
    const chip = row?.signals.get(this.name);
    this.close();
    this.table.watchChanged();
    chip?.element.firstElementChild.focus();
  }

  close() {
    clearInterval(this.timer);
    this.chart?.close();
    this.chart = this.row = null;
    this.element.hidden = true;
  }

  add(row, decoded, time) {
    if (row.key !== this.row || !this.chart) return;
    const signal = decoded.signals?.[this.name];
    if (!signal) return;
    setText(this.value, signalText(signal));
    if (typeof signal.value !== "number") return;
    this.times.push(time);
    this.values.push(signal.value);
    while (this.times.length > MOST_POINTS || this.times[0] < time - KEPT_S) {
      this.times.shift();
      this.values.shift();
    }
  }

  draw() {
    if (this.table.paused || !this.times.length) return;
    const now = Math.max(Date.now() / 1000, this.times.at(-1) + 0.001);
    // The value holds until the next one comes.
    this.chart.draw([[...this.times, now], [...this.values, this.values.at(-1)]]);
  }
}

function around(low, high) {
  if (low === null || low === undefined) return [0, 1];
  const room = (high - low) * 0.1 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}
