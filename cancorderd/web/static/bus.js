// One bus: why it is as it is, how busy it has been, who reads it, and its live frames.

import { Chart } from "./chart.js";
import { BusButtons } from "./control.js";
import { h, keyed, setAttribute, setText } from "./dom.js";
import { EventLog } from "./events.js";
import { ofBus } from "./findings.js";
import { LiveFrames } from "./live_frames.js";
import { drawFindings, forwardingText, lossText, recordingText, StateLabel } from "./overview.js";
import { adapter, bytes, clock, count, duration, percent, rate } from "./words.js";

const HOUR = 3600;
const RANGES = { "1 min": 60, "10 min": 600, "1 h": HOUR };

export class BusView {
  constructor(store, connection, name) {
    this.store = store;
    this.name = name;
    this.times = [];
    this.rates = [];
    this.loads = [];
    this.range = 600;
    this.findings = new Map();
    this.state = new StateLabel();
    this.adapter = h("p", { class: "summary" });
    this.attention = h("ul", { class: "findings", "aria-label": "Needs attention" });
    this.spoken = h("p", { class: "hidden", role: "status" });
    this.buttons = new BusButtons(store, name);
    this.chart = new Chart("Frames per second and load of the bus over time",
      [
        { label: "Frames/s", colour: "--accent", scale: "rate", fill: true, value: (_plot, value) => (value == null ? "–" : rate(value)) },
        { label: "Load", colour: "--second", scale: "load", dash: [5, 4], value: (_plot, value) => (value == null ? "–" : percent(value)) },
      ],
      [
        { scale: "rate", values: (_plot, values) => values.map(rate) },
        { scale: "load", side: 1, values: (_plot, values) => values.map((value) => `${Math.round(value * 100)} %`) },
      ],
      { rate: { range: (_plot, _low, high) => [0, Math.max(10, (high ?? 0) * 1.15)] }, load: { range: (_plot, _low, high) => [0, Math.min(1, Math.max(0.1, (high ?? 0) * 1.6))] } },
    );
    this.ranges = Object.entries(RANGES).map(([label, seconds]) =>
      h("button", { type: "button", class: "choice", "aria-pressed": String(seconds === this.range), onclick: (event) => this.choose(seconds, event.currentTarget) }, label));
    this.facts = Object.fromEntries(["Controller", "Error frames", "Remote frames", "Frames received", "Lost", "Restarts", "Recording", "Forwarding", "TCP port"].map((label) => [label, new Fact(label)]));
    this.details = h("dl", { class: "details" });
    this.detailsText = "";
    this.clients = new ClientTable(store);
    this.frames = new LiveFrames(connection, name, () => dispatchEvent(new Event("watch")));
    this.log = new EventLog(store, name);
    this.gone = h("div", { class: "empty", hidden: true }, h("h2", {}, `There is no bus ${name}`), h("p", {}, "It may have been removed from the configuration. ", h("a", { href: "#/" }, "All buses")));
    this.body = h("div", { class: "bus-body" },
      this.attention,
      this.spoken,
      h("div", { class: "columns" },
        h("section", { class: "panel wide" }, h("div", { class: "panel-head" }, h("h2", {}, "Traffic"), h("div", { class: "choices", role: "group", "aria-label": "Time shown" }, ...this.ranges)), this.chart.element),
        h("section", { class: "panel" }, h("h2", {}, "Health"), h("dl", { class: "health" }, ...Object.values(this.facts).map((fact) => fact.element)), h("details", { class: "more" }, h("summary", {}, "Adapter details"), this.details)),
      ),
      this.clients.element,
      this.frames.element,
      this.log.element,
    );
    this.element = h("div", { class: "bus" },
      h("p", { class: "crumbs" }, h("a", { href: "#/" }, "← All buses")),
      h("div", { class: "title" }, h("div", { class: "title-name" }, h("h1", {}, name), this.state.element), this.adapter, this.buttons.element),
      this.gone,
      this.body,
    );
    this.update();
  }

  close() {
    this.chart.close();
    this.frames.close();
  }

  watch() {
    return { bus: this.name, frames: true, decode: this.frames.wanted() };
  }

  receive(message) {
    if (message.kind === "status") {
      this.addSample(message);
      this.update();
    } else if (message.kind === "history" && message.bus === this.name) this.takeHistory(message.history);
    else if (message.kind === "events" || message.kind === "hello") this.log.update();
    else if ((message.kind === "frames" || message.kind === "signals") && message.bus === this.name) this.frames.receive(message);
  }

  takeHistory(history) {
    if (!history) return;
    const first = history.end - (history.rate.length - 1) * history.step;
    this.times = history.rate.map((_, index) => first + index * history.step);
    this.rates = history.rate;
    this.loads = history.load;
    this.drawChart();
  }

  addSample(message) {
    const bus = this.store.bus(this.name);
    const second = Math.floor(message.time);
    if (!bus || second <= (this.times.at(-1) ?? 0)) return;
    if (this.times.length && second - this.times.at(-1) > 5) this.push(this.times.at(-1) + 1, null, null);
    this.push(second, bus.frames.per_second, bus.load);
    this.drawChart();
  }

  push(time, rate, load) {
    for (const [column, value] of [[this.times, time], [this.rates, rate], [this.loads, load]]) {
      column.push(value);
      if (column.length > HOUR) column.shift();
    }
  }

  drawChart() {
    const end = this.times.at(-1) ?? 0;
    const start = this.times.findIndex((time) => time > end - this.range);
    if (start >= 0) this.chart.draw([this.times.slice(start), this.rates.slice(start), this.loads.slice(start)]);
  }

  choose(seconds, chosen) {
    this.range = seconds;
    for (const button of this.ranges) button.setAttribute("aria-pressed", String(button === chosen));
    this.drawChart();
  }

  update() {
    const bus = this.store.bus(this.name);
    if (!this.store.status) return;
    this.gone.hidden = Boolean(bus);
    this.body.hidden = this.state.element.hidden = !bus;
    if (!bus) return;
    this.state.update(bus);
    setText(this.adapter, `${adapter(bus)} · ${bus.state === "running" ? "for" : "since"} ${bus.state === "running" ? duration(this.store.time - bus.since) : clock(bus.since)}`);
    this.buttons.update(bus);
    drawFindings(this.attention, this.spoken, this.findings, ofBus(this.store, bus), false);
    this.updateFacts(bus);
    this.clients.update(bus);
    this.frames.update(bus);
  }

  updateFacts(bus) {
    const { facts } = this;
    facts.Controller.set(bus.controller ?? "not reported", bus.controller && bus.controller !== "error-active" ? "warn" : null);
    facts["Error frames"].set(count(bus.frames.error), bus.frames.error ? "warn" : null);
    facts["Remote frames"].set(count(bus.frames.remote));
    facts["Frames received"].set(count(bus.frames.received));
    facts.Lost.set(lossText(bus), lossText(bus) === "nothing" ? null : "warn");
    facts.Restarts.set(bus.last_error && bus.restarts ? `${count(bus.restarts)}; the last: ${bus.last_error}` : count(bus.restarts));
    const recording = bus.recording;
    facts.Recording.set(recording?.file ? `${recordingText(bus)} · ${count(recording.frames)} frames · ${recording.file}${recording.dropped ? ` · ${count(recording.dropped)} missing` : ""}` : recordingText(bus), recording?.reason ? "warn" : null);
    const forwarding = forwardingText(this.store, bus);
    facts.Forwarding.set(forwarding);
    facts.Forwarding.element.hidden = !forwarding;
    facts["TCP port"].set(bus.port === null ? "none" : String(bus.port));
    const text = JSON.stringify(bus.details);
    if (text === this.detailsText) return;
    this.detailsText = text;
    this.details.replaceChildren(...Object.entries(bus.details).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
    this.details.parentElement.hidden = text === "{}";
  }
}

class Fact {
  constructor(label) {
    this.value = h("dd", {});
    this.element = h("div", {}, h("dt", {}, label), this.value);
  }

  set(text, tone = null) {
    setText(this.value, tone === "warn" ? `! ${text}` : text);
    setAttribute(this.value, "data-tone", tone);
  }
}

class ClientTable {
  constructor(store) {
    this.store = store;
    this.rows = new Map();
    this.body = h("tbody", {});
    this.table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Clients" }, h("table", { class: "plain" },
      h("thead", {}, h("tr", {}, ...["Client", "Pace", "Connected", "Frames sent", "Dropped", "Waiting"].map((label, index) => h("th", { scope: "col", class: index > 1 ? "right" : null }, label)))),
      this.body));
    this.none = h("p", { class: "quiet" }, "No client is connected.");
    this.element = h("section", { class: "panel" }, h("h2", {}, "Clients"), this.table, this.none);
  }

  update(bus) {
    const clients = new Map(bus.clients.map((client) => [client.address, client]));
    // The slowest first: that is what a person looks for.
    const order = [...clients.values()].sort((one, other) => other.frames_dropped + other.backlog_bytes - one.frames_dropped - one.backlog_bytes);
    keyed(this.body, this.rows, order.map((client) => client.address), () => new ClientRow(), (row, address) => row.update(clients.get(address), this.store.recentlyDropped(bus, clients.get(address))));
    this.table.hidden = clients.size === 0;
    setText(this.none, bus.port === null ? "No client can connect: the bus has no port." : `No client is connected. Viewers connect to TCP port ${bus.port}.`);
    this.none.hidden = clients.size > 0;
  }
}

class ClientRow {
  constructor() {
    this.address = h("th", { scope: "row" });
    this.pace = h("td", {});
    this.cells = [0, 1, 2, 3].map(() => h("td", { class: "right" }));
    this.element = h("tr", {}, this.address, this.pace, ...this.cells);
  }

  update(client, dropped) {
    const slow = dropped > 0 || client.backlog_bytes > 256 * 1024;
    setText(this.address, client.address);
    setText(this.pace, slow ? "! too slow" : client.frames_dropped ? "was too slow" : "keeps up");
    setAttribute(this.pace, "data-tone", slow ? "warn" : null);
    const texts = [duration(client.connected_s), count(client.frames_sent), count(client.frames_dropped), bytes(client.backlog_bytes)];
    texts.forEach((text, index) => setText(this.cells[index], text));
  }
}
