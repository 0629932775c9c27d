// Numbers, times and states in words.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const oneDigit = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

/** States of a bus: a sign beside the word, so that no colour carries a meaning alone. */
export const STATES = {
  running: { sign: "●", tone: "good", word: "running" },
  starting: { sign: "◌", tone: "busy", word: "starting" },
  waiting: { sign: "◔", tone: "warn", word: "waiting" },
  backoff: { sign: "↻", tone: "bad", word: "trying again" },
  failed: { sign: "✕", tone: "bad", word: "failed" },
  stopping: { sign: "◌", tone: "busy", word: "stopping" },
  stopped: { sign: "■", tone: "off", word: "stopped" },
  disabled: { sign: "–", tone: "off", word: "disabled" },
};

export const count = (number) => whole.format(number);

export function rate(perSecond) {
  return perSecond > 0 && perSecond < 10 ? oneDigit.format(perSecond) : whole.format(perSecond);
}

export function percent(share) {
  const value = share * 100;
  return value > 0 && value < 10 ? `${oneDigit.format(value)} %` : `${whole.format(value)} %`;
}

export function bytes(size) {
  if (size < 1000) return `${size} B`;
  for (const unit of ["kB", "MB", "GB"]) {
    size /= 1000;
    if (size < 1000 || unit === "GB") return `${size < 10 ? oneDigit.format(size) : whole.format(size)} ${unit}`;
  }
  return "";
}

export function bitrate(perSecond) {
  if (!perSecond) return "";
  return perSecond % 1_000_000 === 0 ? `${perSecond / 1_000_000} Mbit/s` : `${perSecond / 1000} kbit/s`;
}

export function duration(seconds) {
  if (!(seconds >= 0)) return "";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10_000) return `${oneDigit.format(value / 1000)} s`;
  return value >= 100 ? whole.format(value) : value.toFixed(value >= 10 ? 1 : 2);
}

/** Time of day, with the date if it is another day. */
export function clock(seconds) {
  const time = new Date(seconds * 1000);
  const day = time.toDateString() === new Date().toDateString() ? "" : `${time.toISOString().slice(0, 10)} `;
  return day + time.toTimeString().slice(0, 8);
}

export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Interface, channel and bit rate of a bus, in one line. */
export function adapter(bus) {
  const channel = bus.serial ? `serial ${bus.serial}` : bus.channel ?? "";
  return [bus.interface, String(channel), bitrate(bus.bitrate)].filter(Boolean).join(" · ");
}

/** Split a reason, *place: fact. Remedy.*, into the fact and its remedy; foreign text may have neither. */
export function factAndRemedy(reason) {
  const end = reason.search(/\.\s+[A-Z][^.]*(?:\.[^.]+)*\.?$/);
  if (end < 0) return [reason, ""];
  const first = reason.search(/\.\s+[A-Z]/);
  return [reason.slice(0, first + 1), reason.slice(first + 1).trim()];
}

export function lostFrames(bus) {
  return Object.values(bus.lost).reduce((sum, number) => sum + number, 0);
}
