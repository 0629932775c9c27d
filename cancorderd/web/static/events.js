// The log of events, of all buses or of one.

import { h } from "./dom.js";
import { clock } from "./words.js";

const SHOWN = 200;
const LEVELS = { debug: "·", info: "i", warning: "!", error: "✕", critical: "✕" };

export class EventLog {
  constructor(store, bus) {
    this.store = store;
    this.bus = bus;
    this.last = null;
    this.list = h("ol", { class: "events-list", tabindex: "0", "aria-label": "Events, the latest first" });
    this.none = h("p", { class: "quiet" }, "Nothing has happened yet.");
    this.element = h("section", { class: "panel events" }, h("h2", {}, "Events"), this.none, this.list);
    this.update();
  }

  update() {
    const events = this.store.events.filter((event) => this.bus === null || event.bus === this.bus);
    const start = events.lastIndexOf(this.last) + 1;
    if (start === 0) this.list.replaceChildren();
    this.list.prepend(...events.slice(start).slice(-SHOWN).reverse().map((event) => this.item(event)));
    while (this.list.childElementCount > SHOWN) this.list.lastElementChild.remove();
    this.last = events.at(-1) ?? null;
    this.none.hidden = events.length > 0;
    this.list.hidden = events.length === 0;
  }

  item(event) {
    return h("li", { "data-level": event.level },
      h("span", { class: "event-sign", "aria-hidden": "true" }, LEVELS[event.level] ?? "i"),
      h("time", {}, clock(event.time)),
      this.bus === null ? h("span", { class: "event-bus" }, event.bus) : null,
      h("span", { class: "event-text" }, event.level === "info" ? "" : h("span", { class: "hidden" }, `${event.level}: `), event.text),
    );
  }
}
