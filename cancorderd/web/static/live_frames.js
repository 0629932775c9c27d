// Live frames: a row per arbitration id. Updates are drawn in slices, so that no task of the page is long.

import { h, setText } from "./dom.js";
import { FrameRow } from "./frame_row.js";
import { FrameFilter } from "./frame_filter.js";
import { SignalChart } from "./signal_chart.js";
import { count } from "./words.js";

/** Milliseconds of drawing in one animation frame. */
const SLICE_MS = 6;
/** Rows in the table; more are found with the filter. */
const MOST_SHOWN = 400;
const MOST_DECODED = 256;

export class LiveFrames {
  constructor(connection, bus, watchChanged) {
    this.connection = connection;
    this.bus = bus;
    this.watchChanged = watchChanged;
    this.rows = new Map();
    this.order = [];
    this.dirty = new Set();
    this.visible = new Set();
    this.filter = new FrameFilter("");
    this.paused = false;
    this.owed = false;
    this.drawing = 0;
    this.hunt = false;
    this.reason = "";
    this.decodes = false;
    this.makeElements();
    this.observer = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: "120px" });
    this.timer = setInterval(() => this.fade(), 1000);
  }

  makeElements() {
    this.search = h("input", { type: "search", id: "frame-filter", placeholder: "7E8, 100-1FF, EngineSpeed", autocomplete: "off", spellcheck: "false", oninput: () => this.setFilter() });
    this.pauseButton = h("button", { type: "button", class: "button", "aria-pressed": "false", onclick: () => this.pause() }, "Pause");
    this.huntButton = h("button", { type: "button", class: "button", "aria-pressed": "false", onclick: () => this.startHunt() }, "Find what changes");
    this.huntHelp = h("div", { class: "hunt", hidden: true, role: "status" });
    this.body = h("tbody", {});
    this.state = h("p", { class: "quiet", role: "status" });
    this.problem = h("p", { class: "problem", role: "status", hidden: true });
    this.table = h("table", { class: "frames" },
      h("caption", { class: "hidden" }, "Live frames, a row per arbitration id. Bytes that changed are underlined and bold."),
      h("colgroup", {}, ...["id", "data", "count", "period", "jitter"].map((name) => h("col", { class: `col-${name}` }))),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Id"), h("th", { scope: "col" }, "Last payload"), ...[["Count", "since this page shows the bus"], ["Period", "ms, average of the last 16"], ["Jitter", "ms, standard deviation"]].map(([label, hint]) => h("th", { scope: "col", class: "right", title: hint }, label)))),
      this.body);
    this.signalChart = new SignalChart();
    this.element = h("section", { class: "panel live" },
      h("div", { class: "panel-head" }, h("h2", {}, "Live frames"),
        h("div", { class: "tools" }, h("label", { for: "frame-filter", class: "hidden" }, "Filter by id, range of ids, message or signal"), this.search, this.pauseButton, this.huntButton)),
      this.problem, this.huntHelp, this.signalChart.element, this.state,
      h("div", { class: "scroll" }, this.table));
  }

  close() {
    this.observer.disconnect();
    clearInterval(this.timer);
    cancelAnimationFrame(this.drawing);
    this.signalChart.close();
  }

  /** Return the ids whose signals are to be decoded: above all those of the rows on the screen. */
  wanted() {
    if (!this.decodes) return [];
    const charted = this.signalChart.row ? [this.signalChart.row] : [];
    // A filter may mean the name of a signal of any row.
    const named = this.search.value ? this.order.filter((row) => !row.decoded).map((row) => row.key) : [];
    return [...new Set([...charted, ...this.visible, ...named])].filter((key) => !key.endsWith("R")).slice(0, MOST_DECODED);
  }

  update(bus) {
    const decodes = Boolean(bus.database);
    if (decodes !== this.decodes) {
      this.decodes = decodes;
      this.watchChanged();
    }
    this.drawState(bus);
  }

  receive(message) {
    if (message.kind === "signals") this.takeSignals(message);
    else this.takeFrames(message);
  }

  takeFrames(message) {
    this.owed = true;
    this.reason = message.reason;
    this.leftOut = message.left_out;
    const now = performance.now();
    if (message.whole) {
      const known = new Set(message.rows.map(([key]) => key));
      for (const [key, row] of this.rows) if (!known.has(key)) row.restart();
    }
    for (const update of message.rows) {
      let row = this.rows.get(update[0]);
      if (!row) this.add((row = new FrameRow(update[0], this)));
      row.take(update, now, message.whole);
      this.dirty.add(row);
    }
    this.schedule();
  }

  takeSignals(message) {
    setText(this.problem, message.reason);
    this.problem.hidden = !message.reason;
    const time = Date.now() / 1000;
    for (const [key, decoded] of Object.entries(message.signals)) {
      const row = this.rows.get(key);
      if (!row) continue;
      if (!row.decoded && this.search.value) this.arranged = false;
      row.takeSignals(decoded, time);
      this.signalChart.add(row, decoded, time);
      this.dirty.add(row);
    }
    this.schedule();
  }

  add(row) {
    this.rows.set(row.key, row);
    let low = 0;
    let high = this.order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.order[middle].rank < row.rank) low = middle + 1;
      else high = middle;
    }
    this.order.splice(low, 0, row);
    this.arranged = false;
    // The filter may mean one of its signals, which nobody decodes before the page asks for them.
    if (this.search.value) this.watchSoon();
  }

  schedule() {
    if (this.paused || this.drawing) return;
    this.drawing = requestAnimationFrame(() => this.draw());
  }

  /** Draw rows with news for a few milliseconds; the others follow in the next animation frames. */
  draw() {
    this.drawing = 0;
    if (this.paused) return;
    const end = performance.now() + SLICE_MS;
    for (const row of this.dirty) {
      this.dirty.delete(row);
      // A row beyond the screen is drawn when it comes into view.
      if (row.draw(this.visible.has(row.key))) this.arranged = false;
      if (performance.now() > end) break;
    }
    if (!this.arranged) this.arrange(end);
    if (this.dirty.size || !this.arranged) {
      this.schedule();
    } else if (this.owed) {
      this.owed = false;
      this.connection.ready();
    }
  }

  /** Put the rows that pass the filter into the table, in order; a few more in each animation frame. */
  arrange(end) {
    const passing = this.order.filter((row) => (!this.hunt || row.news) && this.filter.passes(row));
    if (this.hunt) passing.sort((one, other) => other.newsAt - one.newsAt);
    this.hidden = Math.max(0, passing.length - MOST_SHOWN);
    const shown = passing.slice(0, MOST_SHOWN);
    const wanted = new Set(shown.map((row) => row.element));
    for (const element of [...this.body.children]) if (!wanted.has(element)) this.take(element);
    let follows = this.body.firstChild;
    for (const row of shown) {
      if (row.element === follows) {
        follows = follows.nextSibling;
        continue;
      }
      if (!row.element.isConnected) {
        row.drawAll();
        this.observer.observe(row.element);
      }
      this.body.insertBefore(row.element, follows);
      if (performance.now() > end + SLICE_MS) return;
    }
    this.arranged = true;
    this.drawState();
  }

  take(element) {
    element.remove();
    this.observer.unobserve(element);
    if (this.visible.delete(element.dataset.key)) this.watchSoon();
  }

  seen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) {
        this.visible.add(target.dataset.key);
        const row = this.rows.get(target.dataset.key);
        row?.drawAll();
        row?.fade(performance.now());
      } else this.visible.delete(target.dataset.key);
    }
    this.watchSoon();
  }

  watchSoon() {
    if (!this.decodes) return;
    clearTimeout(this.watchTimer);
    this.watchTimer = setTimeout(this.watchChanged, 150);
  }

  setFilter() {
    this.filter = new FrameFilter(this.search.value);
    this.watchSoon();
    this.arranged = false;
    if (this.paused) {
      while (!this.arranged) this.arrange(performance.now() + 1000);
    } else this.schedule();
  }

  pause() {
    this.paused = !this.paused;
    this.pauseButton.setAttribute("aria-pressed", String(this.paused));
    setText(this.pauseButton, this.paused ? "Continue" : "Pause");
    this.element.classList.toggle("paused", this.paused);
    this.schedule();
    this.drawState();
  }

  /** Begin or end the search for bits that have never changed so far. */
  startHunt() {
    this.hunt = !this.hunt;
    for (const row of this.rows.values()) row.forgetNews();
    this.huntButton.setAttribute("aria-pressed", String(this.hunt));
    setText(this.huntButton, this.hunt ? "Show all ids" : "Find what changes");
    this.huntHelp.hidden = !this.hunt;
    this.huntHelp.replaceChildren(
      h("p", {}, h("strong", {}, "Now press the button in the car, or do whatever you look for. "), "Ids whose bits change as they never did since this page shows the bus appear here, the latest first."),
      h("button", { type: "button", class: "button", onclick: () => this.huntAgain() }, "Start over"));
    this.arranged = false;
    this.schedule();
    this.drawState();
  }

  huntAgain() {
    for (const row of this.rows.values()) row.forgetNews();
    this.arranged = false;
    this.schedule();
  }

  fade() {
    if (this.paused) return;
    const now = performance.now();
    for (const key of this.visible) this.rows.get(key)?.fade(now);
    this.drawState();
  }

  drawState(bus = this.lastBus) {
    this.lastBus = bus;
    let text = "";
    if (this.reason) text = this.reason;
    else if (this.rows.size === 0) text = bus && bus.state !== "running" ? `No frames: the bus is ${bus.state}.` : "No frame has arrived yet. A bus on which nobody sends is silent; each id appears here with its first frame.";
    else if (this.body.childElementCount === 0) text = this.hunt ? "Nothing new has changed yet." : "No id passes the filter.";
    else if (this.paused) text = "Paused. The table shows the moment of the pause.";
    else if (this.hidden || this.leftOut) text = `${count(this.rows.size)} ids; ${count(this.hidden ?? 0)} more pass the filter than are shown${this.leftOut ? `, and ${count(this.leftOut)} frames had ids beyond the limit` : ""}.`;
    else text = `${count(this.rows.size)} ids${this.body.childElementCount < this.rows.size ? `, ${count(this.body.childElementCount)} shown` : ""}.`;
    setText(this.state, text);
  }
}
