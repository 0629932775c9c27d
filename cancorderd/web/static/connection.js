// The WebSocket to the gateway, opened again whenever it is lost.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;
/** The server sends the status each second: a connection that is silent for longer is dead, though nobody has closed it. */
const SILENT_MS = 8000;

export class Connection {
  /** `onMessage(message)` gets each message, `onState(connected)` each change. */
  constructor(onMessage, onState) {
    this.onMessage = onMessage;
    this.onState = onState;
    this.waitMs = FIRST_WAIT_MS;
    this.watch = null;
    this.socket = null;
    addEventListener("online", () => this.openNow());
    addEventListener("offline", () => this.socket?.close());
    document.addEventListener("visibilitychange", () => document.hidden || this.openNow());
    setInterval(() => this.checkSilence(), 1000);
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    this.heardMs = performance.now();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = (this.socket = new WebSocket(`${scheme}://${location.host}/ws`));
    socket.onopen = () => {
      this.waitMs = FIRST_WAIT_MS;
      this.heardMs = performance.now();
      this.onState(true);
      if (this.watch) this.send(this.watch);
    };
    socket.onmessage = (event) => {
      this.heardMs = performance.now();
      this.onMessage(JSON.parse(event.data));
    };
    socket.onclose = () => this.lost(socket);
  }

  lost(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.onState(false);
    this.timer = setTimeout(() => this.open(), this.waitMs);
    this.waitMs = Math.min(2 * this.waitMs, LONGEST_WAIT_MS);
  }

  openNow() {
    if (this.socket === null) this.open();
  }

  checkSilence() {
    const socket = this.socket;
    if (!socket || document.hidden || performance.now() - this.heardMs < SILENT_MS) return;
    socket.onmessage = socket.onclose = null;
    socket.close();
    this.lost(socket);
  }

  /** Say what the page shows; repeated after each reconnect. */
  show(watch) {
    this.watch = { kind: "watch", ...watch };
    this.send(this.watch);
  }

  /** Say that an update of frames has been drawn. */
  ready() {
    this.send({ kind: "ready" });
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
