// A row of the live frames: what is known about an arbitration id, and how it is drawn.

import { h, setAttribute, setText } from "./dom.js";
import { count, duration, milliseconds } from "./words.js";

const FLAGS = [[2, "FD"], [4, "BRS"], [8, "ESI"], [64, "remote"]];
/** Milliseconds for which a changed byte stays marked. */
const MARKED_MS = 700;
const STALE_MS = 2000;
const number = (hex) => (hex ? BigInt(`0x${hex}`) : 0n);

export class FrameRow {
  constructor(key, table) {
    this.key = key;
    this.table = table;
    this.id = parseInt(key, 16);
    /** Standard ids before extended ones. */
    this.rank = this.id + (key.length > 4 ? 2 ** 32 : 0) + (key.endsWith("R") ? 0.5 : 0);
    this.names = "";
    this.data = "";
    this.changedAt = [];
    this.usual = 0n;
    this.fresh = 0n;
    this.news = false;
    this.newsAt = 0;
    this.bytes = [];
    this.signals = new Map();
    this.decoded = null;
    this.makeElement();
  }

  makeElement() {
    this.idText = h("span", { class: "frame-id" }, this.key);
    this.flagText = h("span", { class: "frame-flags" });
    this.message = h("span", { class: "frame-message" });
    this.payload = h("div", { class: "payload" });
    this.signalList = h("ul", { class: "signals", hidden: true });
    [this.countCell, this.periodCell, this.jitterCell] = ["Count", "Period", "Jitter"].map((label) => h("td", { class: "right", "data-label": label }));
    this.element = h("tr", { "data-key": this.key },
      h("th", { scope: "row" }, this.idText, this.flagText, this.message),
      h("td", {}, this.payload, this.signalList),
      this.countCell, this.periodCell, this.jitterCell);
  }

  /** Take an update of the gateway: [key, flags, payload, changed bits, count, period, jitter]. */
  take([, flags, data, changed, counted, period, jitter], now, whole) {
    if (whole) {
      // The bits are those that ever changed: what a search counts as usual. Marks are only for what this page had not seen.
      this.learn(number(changed), now);
      changed = this.data && this.data.length === data.length ? (number(this.data) ^ number(data)).toString(16).padStart(data.length, "0") : "";
    }
    this.flags = flags;
    this.seenAt = now;
    this.counted = counted;
    this.period = period;
    this.jitter = jitter;
    if (changed && data.length === changed.length) this.mark(changed, now);
    this.data = data;
  }

  mark(changed, now) {
    for (let at = 0; at < changed.length; at += 2) if (changed[at] !== "0" || changed[at + 1] !== "0") this.changedAt[at / 2] = now;
    this.learn(number(changed), now);
  }

  /** Count bits that changed as usual, or in a search as news. */
  learn(bits, now) {
    const unknown = bits & ~this.usual;
    if (unknown && this.table.hunt) {
      this.fresh |= unknown;
      this.news = true;
      this.newsAt = now;
    } else this.usual |= bits;
  }

  /** Count everything seen so far as usual. */
  forgetNews() {
    this.usual |= this.fresh;
    this.fresh = 0n;
    this.news = false;
    this.table.dirty.add(this);
  }

  /** The gateway has begun to count anew, and has not seen this id yet. */
  restart() {
    this.counted = 0;
    this.period = this.jitter = null;
    this.table.dirty.add(this);
  }

  takeSignals(decoded, time) {
    this.decoded = decoded;
    const signals = decoded.signals ?? {};
    this.names = [decoded.message, ...Object.keys(signals)].join("\n").toLowerCase();
    this.signalsAt = time;
  }

  /** Draw what has changed, if the row is on the screen; return whether rows have to be arranged anew. */
  draw(visible) {
    const wasNew = this.shownNews;
    this.shownNews = this.news;
    if (visible) this.drawAll();
    return wasNew !== this.news;
  }

  drawAll() {
    this.drawBytes(performance.now());
    const flags = FLAGS.filter(([bit]) => this.flags & bit).map(([, name]) => name).join(" ");
    setText(this.flagText, flags);
    setText(this.countCell, count(this.counted ?? 0));
    setText(this.periodCell, milliseconds(this.period));
    setText(this.jitterCell, milliseconds(this.jitter));
    if (this.stale) this.setStale(false);
    if (this.decoded) this.drawSignals();
  }

  drawBytes(now) {
    const length = this.data.length / 2;
    if (length && this.bytes.length === 0) this.payload.replaceChildren();
    while (this.bytes.length < length) {
      const byte = h("span", { class: "byte" });
      this.bytes.push(byte);
      this.payload.append(byte, " ");
    }
    while (this.bytes.length > length) {
      const byte = this.bytes.pop();
      byte.nextSibling.remove();
      byte.remove();
    }
    const fresh = this.fresh ? this.fresh.toString(16).padStart(this.data.length, "0").slice(-this.data.length) : "";
    for (let at = 0; at < length; at += 1) {
      const byte = this.bytes[at];
      setText(byte, this.data.slice(2 * at, 2 * at + 2));
      const isNew = fresh && (fresh[2 * at] !== "0" || fresh[2 * at + 1] !== "0");
      const name = isNew ? "byte new" : now - (this.changedAt[at] ?? -MARKED_MS) < MARKED_MS ? "byte changed" : "byte";
      if (byte.className !== name) byte.className = name;
    }
    if (length === 0) setText(this.payload, this.flags & 64 ? "remote frame" : "no bytes");
  }

  drawSignals() {
    const { decoded } = this;
    setText(this.message, decoded.message);
    const signals = Object.entries(decoded.signals ?? {});
    this.signalList.hidden = signals.length === 0;
    const names = new Set(signals.map(([name]) => name));
    for (const [name, chip] of this.signals) {
      if (names.has(name)) continue;
      chip.element.remove();
      this.signals.delete(name);
    }
    for (const [name, signal] of signals) {
      let chip = this.signals.get(name);
      if (!chip) {
        const value = h("span", { class: "signal-value" });
        const button = h("button", { type: "button", class: "signal", title: `Chart of ${name}`, onclick: () => this.table.signalChart.show(this, name, this.table) }, h("span", { class: "signal-name" }, name), " ", value);
        chip = { element: h("li", {}, button), value };
        this.signals.set(name, chip);
        this.signalList.append(chip.element);
      }
      setText(chip.value, signalText(signal));
    }
  }

  /** Show that an id has not been seen for some time, and end the marks of its bytes. */
  fade(now) {
    this.drawBytes(now);
    const unseen = now - this.seenAt;
    const stale = unseen > Math.max(STALE_MS, 3 * (this.period ?? 0));
    if (stale) setText(this.periodCell, `silent ${duration(unseen / 1000)}`);
    if (stale !== Boolean(this.stale)) this.setStale(stale);
  }

  setStale(stale) {
    this.stale = stale;
    setAttribute(this.element, "data-stale", stale ? "" : null);
    if (!stale) setText(this.periodCell, milliseconds(this.period));
  }
}

/** A value with its name or unit, such as "2500 rpm" or "Reverse". */
export function signalText(signal) {
  if (signal.name) return signal.name;
  const value = typeof signal.value === "number" && !Number.isInteger(signal.value) ? Number(signal.value.toPrecision(7)) : signal.value;
  return signal.unit ? `${value} ${signal.unit}` : String(value);
}
