// Buttons that change something. They exist only where the gateway allows it.

import { h, setText } from "./dom.js";

const EFFECTS = {
  added: "is added", removed: "is removed", enabled: "is enabled", disabled: "is disabled",
  restarted: "restarts; its clients stay connected", updated: "is updated without a restart", unchanged: "stays as it is",
};

async function post(path) {
  const response = await fetch(path, { method: "POST" });
  const answer = await response.json().catch(() => ({ error: `the gateway answers ${response.status}` }));
  return { ok: response.ok, ...answer };
}

/** Start, stop and restart of a bus. */
export class BusButtons {
  constructor(store, name) {
    this.store = store;
    this.name = name;
    this.outcome = h("p", { class: "outcome", role: "status" });
    this.buttons = Object.fromEntries(
      ["restart", "start", "stop"].map((verb) => [verb, h("button", { type: "button", class: "button", onclick: () => this.ask(verb) }, verb[0].toUpperCase() + verb.slice(1))]),
    );
    this.element = h("div", { class: "controls", hidden: true }, ...Object.values(this.buttons), this.outcome);
  }

  update(bus) {
    this.element.hidden = !this.store.control;
    const off = bus.state === "stopped" || bus.state === "disabled";
    this.buttons.start.hidden = !(off || bus.state === "failed");
    this.buttons.stop.hidden = off;
    this.buttons.restart.hidden = off;
  }

  async ask(verb) {
    if (verb === "stop" && !(await confirmed(`Stop ${this.name}?`, "Its clients are disconnected, and nothing is recorded until it is started again.", "Stop"))) return;
    for (const button of Object.values(this.buttons)) button.disabled = true;
    setText(this.outcome, `${verb} …`);
    try {
      const answer = await post(`/v1/buses/${encodeURIComponent(this.name)}/${verb}`);
      setText(this.outcome, answer.error ?? (answer.done ? `${verb}: done` : `${answer.state}: ${answer.reason}`));
    } catch {
      setText(this.outcome, `${verb}: no connection to the gateway`);
    }
    for (const button of Object.values(this.buttons)) button.disabled = false;
  }
}

/** Reload of the configuration: first what would change, then the change. */
export class ReloadButton {
  constructor(store) {
    this.store = store;
    this.element = h("button", { type: "button", class: "button", hidden: true, onclick: () => this.ask() }, "Reload configuration");
  }

  update() {
    this.element.hidden = !this.store.control || !this.store.status;
  }

  async ask() {
    this.element.disabled = true;
    const plan = await post("/v1/reload?dry_run=1").catch(() => ({ error: "No connection to the gateway." }));
    this.element.disabled = false;
    if (plan.error || plan.problems) {
      await told("The file has mistakes; nothing changes", list(plan.problems ?? [plan.error]));
      return;
    }
    const changes = plan.changes.filter((change) => change.kind !== "unchanged");
    if (!changes.length && !plan.notes.length) {
      await told("Nothing would change", h("p", {}, "The file is as it was read last."));
      return;
    }
    const lines = changes.map((change) => `${change.bus} ${EFFECTS[change.kind] ?? change.kind}${change.keys.length ? ` (${change.keys.join(", ")})` : ""}`);
    if (!(await confirmed("Reload configuration?", list([...lines, ...plan.notes]), "Reload"))) return;
    const answer = await post("/v1/reload").catch(() => ({ error: "No connection to the gateway." }));
    if (answer.error || answer.problems || !answer.done)
      await told("Not all is in force", list(answer.problems ?? answer.undone?.map((bus) => `${bus.name} is ${bus.state}: ${bus.reason}`) ?? [answer.error]));
  }
}

function list(lines) {
  return h("ul", { class: "lines" }, ...lines.map((line) => h("li", {}, line)));
}

/** Show a question; resolves to whether it was confirmed. */
function confirmed(title, body, action) {
  return dialog(title, body, h("button", { type: "submit", value: "", class: "button" }, "Cancel"), h("button", { type: "submit", value: "yes", class: "button primary" }, action));
}

function told(title, body) {
  return dialog(title, body, h("button", { type: "submit", value: "", class: "button primary" }, "Close"));
}

function dialog(title, body, ...buttons) {
  const heading = h("h2", { id: "dialog-title" }, title);
  const form = h("form", { method: "dialog" }, heading, typeof body === "string" ? h("p", {}, body) : body, h("div", { class: "dialog-buttons" }, ...buttons));
  const box = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  document.body.append(box);
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      box.remove();
      resolve(box.returnValue === "yes");
    });
  });
}
