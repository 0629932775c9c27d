// What needs a person's attention: why a bus does not run, who reads too slowly, where frames are lost.

import { bytes, count, duration, factAndRemedy, plural } from "./words.js";

const MUCH_BACKLOG = 256 * 1024;
const SILENT_S = 5;
const PLACES = {
  kernel: ["frames lost in the kernel's receive buffer", "This machine is too busy, or the bus is very busy: see its load."],
  adapter: ["overruns reported by the adapter", "The adapter is too slow for this bus, or shares a slow USB hub."],
  unknown: ["frames probably lost while the worker was restarted", "Look at the events below for the cause."],
};

/** Return findings, the worst first: {tone, bus, title, fact, remedy}. */
export function findings(store) {
  const found = [];
  for (const bus of store.buses) found.push(...ofBus(store, bus));
  const forward = store.status?.forward;
  if (forward && (!forward.connected || forward.reason)) found.push(ofForwarding(forward));
  return found.sort((one, other) => (one.tone === "bad" ? 0 : 1) - (other.tone === "bad" ? 0 : 1));
}

function ofForwarding(forward) {
  const bad = forward.refused || forward.losing;
  const [fact, remedy] = factAndRemedy(forward.reason || "The hub is not connected.");
  const lasts = forward.spool_lasts_s === null ? "" : `, which lasts for another ${duration(forward.spool_lasts_s)}`;
  const spool = `Frames wait in the spool: ${bytes(forward.spool_bytes)} of ${bytes(forward.spool_limit_bytes)}${lasts}.`;
  return {
    tone: bad ? "bad" : "warn",
    bus: "",
    title: forward.losing ? "Forwarding loses frames" : forward.refused ? "Forwarding is refused" : "Forwarding is interrupted",
    fact: `${fact} ${spool}`,
    remedy,
  };
}

export function ofBus(store, bus) {
  const found = [];
  const add = (tone, title, fact, remedy = "") => found.push({ tone, bus: bus.name, title, fact, remedy });
  if (["waiting", "backoff", "failed"].includes(bus.state)) {
    const [fact, remedy] = factAndRemedy(bus.reason || bus.last_error || "No reason is known yet.");
    const title = { waiting: "waits for its adapter", backoff: "is being started again", failed: "has failed" }[bus.state];
    add(bus.state === "waiting" ? "warn" : "bad", title, fact, remedy);
  }
  if (bus.state === "running") {
    const silent = store.silentFor(bus);
    if (silent > SILENT_S)
      add("warn", "is silent", `The adapter works, but no frame has arrived for ${duration(silent)}.`,
        "Check that a device sends, the wiring, the terminating resistors and the bit rate.");
    if (bus.controller && bus.controller !== "error-active")
      add(bus.controller === "bus-off" ? "bad" : "warn", "has errors", `The controller is ${bus.controller}.`,
        "Check the bit rate, the wiring and the terminating resistors.");
  }
  for (const client of bus.clients) {
    const dropped = store.recentlyDropped(bus, client);
    if (dropped || client.backlog_bytes > MUCH_BACKLOG) {
      const waiting = `${bytes(client.backlog_bytes)} wait for it`;
      add("warn", "has a slow client", `${client.address} reads too slowly: ${waiting}, ${plural(client.frames_dropped, "frame")} dropped${dropped ? `, ${count(dropped)} of them in the last ${duration(store.recentSpan)}` : ""}.`,
        "Only this client is affected. Look at its network and its program.");
    }
  }
  const losses = store.recentLosses(bus);
  for (const [place, [words, remedy]] of Object.entries(PLACES))
    if (losses[place]) add("warn", "loses frames", `${count(losses[place])} ${words} in the last ${duration(store.recentSpan)}.`, remedy);
  if (bus.recording?.reason && bus.state === "running") {
    const [fact, remedy] = factAndRemedy(bus.recording.reason);
    add("bad", bus.recording.state === "stopped" ? "is not being recorded" : "has an impaired recording", fact, remedy);
  }
  return found;
}
