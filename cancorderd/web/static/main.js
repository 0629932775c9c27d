// The page, put together: the connection, the view that the address names, and the lines around it.

import { BusView } from "./bus.js";
import { Connection } from "./connection.js";
import { ReloadButton } from "./control.js";
import { h, setAttribute, setText } from "./dom.js";
import { Overview } from "./overview.js";
import { Store } from "./store.js";
import { clock, duration } from "./words.js";

const store = new Store();
const main = document.getElementById("main");
const banner = document.getElementById("banner");
const reload = new ReloadButton(store);
let view = null;
let connected = false;
let lostAt = null;

const connection = new Connection(receive, (state) => {
  connected = state;
  if (!state) lostAt ??= Date.now() / 1000;
  drawFrame();
});
document.getElementById("actions").append(reload.element);

function receive(message) {
  if (message.kind === "hello") lostAt = null;
  const first = message.kind === "status" && message.status && !store.status;
  store.receive(message);
  if (first || (message.kind === "status" && view === null)) route();
  else view?.receive(message);
  if (message.kind === "status" || message.kind === "hello") drawFrame();
}

/** Show the view that the address names. */
function route() {
  if (!store.status) return;
  const name = location.hash.startsWith("#/bus/") ? decodeURIComponent(location.hash.slice(6)) : null;
  view?.close?.();
  view = name === null ? new Overview(store) : new BusView(store, connection, name);
  main.replaceChildren(view.element);
  document.title = `${name === null ? "Buses" : name} – ${store.status.host ?? "CAN gateway"}`;
  show();
}

/** Say what the view shows; a hidden page lets go of its frames. */
function show() {
  if (!view) return;
  const watch = view.watch();
  connection.show(document.hidden ? { ...watch, frames: false, decode: [] } : watch);
}

/** Draw what stands around the view: connection, host, version, and the banner if something is wrong. */
function drawFrame() {
  const answers = connected && store.status !== null;
  setAttribute(document.documentElement, "data-old", answers || !lostAt && !store.reason ? null : "");
  setAttribute(document.getElementById("link"), "data-tone", answers ? "good" : "bad");
  setText(document.getElementById("link-text"), answers ? "Live" : connected ? (store.reason ? "No answer" : "Connecting") : "Offline");
  setText(document.getElementById("host"), store.status?.host ?? "");
  setText(document.getElementById("version"), store.status ? `cancorderd ${store.status.version} · up ${duration(store.status.uptime_s)}` : "");
  let text = "";
  if (!connected && lostAt) text = `No connection to the gateway since ${clock(lostAt)}. What you see is from then; this page tries again by itself.`;
  else if (connected && !store.status && store.reason) text = `The gateway does not answer: ${store.reason}`;
  setText(banner, text);
  if (!store.status && !main.childElementCount) main.append(h("p", { class: "quiet waiting" }, "Connecting to the gateway …"));
  reload.update();
}

addEventListener("hashchange", () => {
  route();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
});
document.addEventListener("visibilitychange", show);
addEventListener("watch", show);
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
