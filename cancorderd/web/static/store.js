// What the gateway has sent: the latest status, a history of each bus, the events.

const SPARKLINE_POINTS = 600;
const MOST_EVENTS = 500;
/** Seconds over which a growing loss counts as recent. */
const RECENT_S = 60;

export class Store {
  constructor() {
    this.control = false;
    this.status = null;
    this.reason = "";
    this.time = 0;
    this.events = [];
    this.recent = new Map();
    this.counters = [];
    this.subscribers = new Set();
  }

  get buses() {
    return this.status?.buses ?? [];
  }

  bus(name) {
    return this.buses.find((bus) => bus.name === name);
  }

  receive(message) {
    switch (message.kind) {
      case "hello":
        this.control = message.control;
        this.events = [];
        break;
      case "sparklines":
        for (const [name, history] of Object.entries(message.buses)) this.fill(name, history);
        break;
      case "status":
        this.takeStatus(message);
        break;
      case "events":
        this.events = [...this.events, ...message.events].slice(-MOST_EVENTS);
        break;
    }
    for (const tell of this.subscribers) tell(message);
  }

  fill(name, history) {
    const points = [];
    const first = history.end - (history.rate.length - 1) * history.step;
    history.rate.forEach((rate, index) => points.push([first + index * history.step, rate, history.load[index]]));
    this.recent.set(name, points);
  }

  takeStatus(message) {
    this.status = message.status;
    this.reason = message.reason;
    this.time = message.time;
    if (!message.status) return;
    const losses = new Map();
    for (const bus of this.buses) {
      const points = this.recent.get(bus.name) ?? [];
      points.push([message.time, bus.frames.per_second, bus.load]);
      while (points.length > SPARKLINE_POINTS || (points.length && points[0][0] < message.time - 600)) points.shift();
      this.recent.set(bus.name, points);
      losses.set(bus.name, { lost: { ...bus.lost }, clients: new Map(bus.clients.map((client) => [client.address, client.frames_dropped])) });
    }
    this.counters.push([message.time, losses]);
    while (this.counters.length && this.counters[0][0] < message.time - RECENT_S) this.counters.shift();
    for (const name of this.recent.keys()) if (!losses.has(name)) this.recent.delete(name);
  }

  /** Seconds that the recent losses are about: a minute, or less if the page was opened later. */
  get recentSpan() {
    return Math.max(1, Math.round(this.time - (this.counters[0]?.[0] ?? this.time)));
  }

  /** Return how much each loss of a bus has grown within `recentSpan`. */
  recentLosses(bus) {
    const before = this.counters[0]?.[1].get(bus.name)?.lost ?? bus.lost;
    return Object.fromEntries(Object.entries(bus.lost).map(([place, number]) => [place, Math.max(0, number - before[place])]));
  }

  /** Return how many frames a client has lost within `recentSpan`. */
  recentlyDropped(bus, client) {
    const before = this.counters[0]?.[1].get(bus.name)?.clients.get(client.address) ?? 0;
    return Math.max(0, client.frames_dropped - before);
  }

  /** Return the seconds since a bus's last frame, as far as the history goes; 0 if there are frames. */
  silentFor(bus) {
    if (bus.frames.per_second > 0) return 0;
    const points = this.recent.get(bus.name) ?? [];
    const last = points.findLast(([, rate]) => rate > 0);
    return this.time - Math.max(bus.since, last ? last[0] : 0);
  }
}
