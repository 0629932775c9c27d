// The overview: what needs attention, every bus, the log of events.

import { h, keyed, setAttribute, setText } from "./dom.js";
import { EventLog } from "./events.js";
import { findings } from "./findings.js";
import { Sparkline } from "./sparkline.js";
import { adapter, bytes, count, duration, lostFrames, percent, plural, rate, STATES } from "./words.js";

const PLACES = { kernel: "kernel", adapter: "adapter", clients: "slow clients", unknown: "unknown" };

export class Overview {
  constructor(store) {
    this.store = store;
    this.cards = new Map();
    this.findings = new Map();
    this.summary = h("p", { class: "summary" });
    this.attention = h("ul", { class: "findings", "aria-label": "Needs attention" });
    this.spoken = h("p", { class: "hidden", role: "status" });
    this.list = h("ul", { class: "cards" });
    this.none = h("div", { class: "empty", hidden: true });
    this.log = new EventLog(store, null);
    this.element = h("div", { class: "overview" },
      h("div", { class: "title" }, h("h1", {}, "Buses"), this.summary),
      this.attention,
      this.spoken,
      this.none,
      this.list,
      this.log.element,
    );
    this.update();
  }

  watch() {
    return { bus: null, frames: false, decode: [] };
  }

  receive(message) {
    if (message.kind === "status" || message.kind === "sparklines") this.update();
    if (message.kind === "events" || message.kind === "hello") this.log.update();
  }

  update() {
    const { store } = this;
    if (!store.status) return;
    const buses = store.buses;
    setText(this.summary, summary(buses));
    drawFindings(this.attention, this.spoken, this.findings, findings(store), buses.length > 0);
    keyed(this.list, this.cards, buses.map((bus) => bus.name), (name) => new BusCard(name), (card, name) => card.update(store.bus(name), store));
    if (buses.length === 0 && this.none.hidden)
      this.none.append(h("h2", {}, "No bus is configured yet"), h("p", {}, "Run ", h("code", {}, "sudo cancorderctl detect --write NAME"), " on the gateway: it finds adapters and writes a table for one. The bus appears here after ", h("code", {}, "sudo cancorderctl reload"), "."));
    this.none.hidden = buses.length > 0;
  }
}

function summary(buses) {
  const wanted = buses.filter((bus) => !["disabled", "stopped"].includes(bus.state));
  const running = buses.filter((bus) => bus.state === "running");
  const frames = buses.reduce((sum, bus) => sum + bus.frames.per_second, 0);
  const clients = buses.reduce((sum, bus) => sum + bus.clients.length, 0);
  return [`${running.length} of ${wanted.length} running`, `${rate(frames)} frames/s`, plural(clients, "client")].join(" · ");
}

/** Show findings as a list; if there are none, one line that says so. `spoken` is read aloud: it has no figures, which change each second. */
export function drawFindings(list, spoken, known, found, anything) {
  const items = found.length || !anything ? found : [{ tone: "good", bus: "", title: "All is well", fact: "Every bus runs, no client is slow, and no frame has been lost lately.", remedy: "" }];
  const byKey = new Map(items.map((item) => [`${item.tone} ${item.bus} ${item.title} ${item.fact.replace(/[\d.,]+/g, "")}`, item]));
  keyed(list, known, [...byKey.keys()], () => new FindingItem(), (item, key) => item.update(byKey.get(key)));
  setText(spoken, items.map((item) => `${item.bus} ${item.title}.`.trim()).join(" "));
}

class FindingItem {
  constructor() {
    this.sign = h("span", { class: "finding-sign", "aria-hidden": "true" });
    this.bus = h("a", {});
    this.title = h("span", {});
    this.fact = h("p", { class: "finding-fact" });
    this.remedy = h("p", { class: "finding-remedy" });
    this.element = h("li", { class: "finding" }, this.sign, h("div", {}, h("p", { class: "finding-title" }, this.bus, " ", this.title), this.fact, this.remedy));
  }

  update(finding) {
    setAttribute(this.element, "data-tone", finding.tone);
    setText(this.sign, { good: "✓", warn: "!", bad: "✕" }[finding.tone]);
    setText(this.bus, finding.bus);
    setAttribute(this.bus, "href", finding.bus ? `#/bus/${encodeURIComponent(finding.bus)}` : null);
    this.bus.hidden = !finding.bus;
    setText(this.title, finding.title);
    setText(this.fact, finding.fact);
    setText(this.remedy, finding.remedy);
    this.remedy.hidden = !finding.remedy;
  }
}

/** The sign and the word of a bus's state. */
export class StateLabel {
  constructor() {
    this.sign = h("span", { "aria-hidden": "true" });
    this.word = h("span", {});
    this.element = h("span", { class: "state" }, this.sign, this.word);
  }

  update(bus) {
    const state = STATES[bus.state] ?? { sign: "?", tone: "warn", word: bus.state };
    setAttribute(this.element, "data-tone", state.tone);
    setText(this.sign, state.sign);
    setText(this.word, state.word);
  }
}

class BusCard {
  constructor(name) {
    this.state = new StateLabel();
    this.adapter = h("p", { class: "card-adapter" });
    this.reason = h("p", { class: "card-reason" });
    this.sparkline = new Sparkline();
    this.rate = h("span", { class: "number" });
    this.load = h("span", { class: "number" });
    this.bar = h("span", { class: "bar-fill" });
    this.clients = h("dd", {});
    this.lost = h("dd", {});
    this.recording = h("dd", {});
    this.forwarding = h("dd", {});
    this.forwardingRow = h("div", {}, h("dt", {}, "Forwarding"), this.forwarding);
    this.element = h("li", { class: "card" },
      h("div", { class: "card-head" }, h("h2", {}, h("a", { href: `#/bus/${encodeURIComponent(name)}` }, name)), this.state.element),
      this.adapter,
      this.reason,
      this.sparkline.element,
      h("div", { class: "figures" },
        h("p", {}, this.rate, h("span", { class: "unit" }, "frames/s")),
        h("p", {}, this.load, h("span", { class: "unit" }, "load"), h("span", { class: "bar", "aria-hidden": "true" }, this.bar)),
      ),
      h("dl", { class: "facts" },
        h("div", {}, h("dt", {}, "Clients"), this.clients),
        h("div", {}, h("dt", {}, "Lost"), this.lost),
        h("div", {}, h("dt", {}, "Recording"), this.recording),
        this.forwardingRow,
      ),
    );
  }

  update(bus, store) {
    const off = bus.state === "disabled" || bus.state === "stopped";
    setAttribute(this.element, "data-off", off ? "" : null);
    this.state.update(bus);
    setText(this.adapter, adapter(bus));
    setText(this.reason, bus.reason);
    this.reason.hidden = !bus.reason;
    setText(this.rate, rate(bus.frames.per_second));
    setText(this.load, percent(bus.load));
    this.bar.style.inlineSize = `${Math.min(100, bus.load * 100)}%`;
    setAttribute(this.bar, "data-tone", bus.load > 0.85 ? "warn" : "good");
    this.sparkline.draw(store.recent.get(bus.name) ?? [], store.time);
    setText(this.clients, clientsText(bus));
    setText(this.lost, lossText(bus));
    setAttribute(this.lost, "data-tone", lostFrames(bus) ? "warn" : null);
    setText(this.recording, recordingText(bus));
    const forwarding = forwardingText(store, bus);
    this.forwardingRow.hidden = !forwarding;
    setText(this.forwarding, forwarding);
  }
}

export function clientsText(bus) {
  const slow = bus.clients.filter((client) => client.frames_dropped).length;
  return slow ? `${bus.clients.length}, ${slow} slow` : `${bus.clients.length}`;
}

/** Losses by place, such as "12 kernel, 3 slow clients". */
export function lossText(bus) {
  const places = Object.entries(bus.lost).filter(([, number]) => number);
  return places.map(([place, number]) => `${count(number)} ${PLACES[place] ?? place}`).join(", ") || "nothing";
}

export function recordingText(bus) {
  const recording = bus.recording;
  if (!recording) return "off";
  if (recording.state !== "recording") return "stopped";
  return recording.file ? `● ${bytes(recording.bytes)}` : "● waiting for frames";
}

export function forwardingText(store, bus) {
  const forward = store.status.forward;
  const own = forward?.buses?.find((one) => one.name === bus.name);
  if (!own) return "";
  const lost = Object.values(own.lost).reduce((sum, number) => sum + number, 0);
  const losses = lost ? `, ${count(lost)} lost` : "";
  if (!forward.connected) return `not connected, ${count(own.lag_frames)} frames wait${losses}`;
  return (own.lag_s >= 5 ? `${duration(own.lag_s)} behind` : "up to date") + losses;
}
