// Charts over time, drawn by uPlot (vendor/), in the colours of the page.

import { h } from "./dom.js";

const HEIGHT = 220;
const darkness = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const pad = (number) => String(number).padStart(2, "0");

function times(_plot, values, _axis, _space, step) {
  return values.map((value) => {
    const time = new Date(value * 1000);
    const minute = `${pad(time.getHours())}:${pad(time.getMinutes())}`;
    return step < 60 ? `${minute}:${pad(time.getSeconds())}` : minute;
  });
}

/** A chart whose series are `{label, colour, scale, value, fill, stepped, dash}`; `scales` and `axes` say how each scale is shown. */
export class Chart {
  constructor(label, series, axes, scales) {
    this.series = series;
    this.axes = axes;
    this.scales = scales;
    this.plot = null;
    this.data = [[], ...series.map(() => [])];
    this.element = h("div", { class: "chart", role: "img", "aria-label": label });
    this.resize = new ResizeObserver(() => this.fit());
    this.resize.observe(this.element);
    this.recolour = () => this.make();
    darkness.addEventListener("change", this.recolour);
  }

  close() {
    this.resize.disconnect();
    darkness.removeEventListener("change", this.recolour);
    this.plot?.destroy();
  }

  fit() {
    const width = Math.floor(this.element.clientWidth);
    if (width < 50) return;
    if (this.plot) this.plot.setSize({ width, height: HEIGHT });
    else this.make();
  }

  make() {
    const width = Math.floor(this.element.clientWidth);
    this.plot?.destroy();
    const grid = { stroke: colour("--line"), width: 1 };
    const text = { stroke: colour("--muted"), font: "12px system-ui, sans-serif", ticks: { show: false } };
    this.plot = new uPlot(
      {
        width: Math.max(width, 50),
        height: HEIGHT,
        cursor: { points: { size: 7 } },
        legend: { live: true },
        scales: { x: { time: true }, ...this.scales },
        axes: [
          { ...text, grid: { show: false }, values: times, space: 80 },
          ...this.axes.map((axis, index) => ({ ...text, size: 58, grid: index ? { show: false } : grid, ...axis })),
        ],
        series: [
          { label: "Time", value: (_plot, value) => (value ? new Date(value * 1000).toTimeString().slice(0, 8) : "–") },
          ...this.series.map((series) => ({
            ...series,
            stroke: colour(series.colour),
            fill: series.fill ? `${colour(series.colour)}22` : undefined,
            width: 1.6,
            points: { show: false },
            paths: series.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
          })),
        ],
      },
      this.data,
      this.element,
    );
  }

  /** Show these columns: times in seconds since the epoch, and the values of each series. */
  draw(data) {
    this.data = data;
    this.plot?.setData(data);
  }
}
