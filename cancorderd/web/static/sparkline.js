// Frames per second over ten minutes, small.

const WIDTH = 300;
const HEIGHT = 44;
const SECONDS = 600;
const SVG = "http://www.w3.org/2000/svg";

export class Sparkline {
  constructor() {
    this.line = document.createElementNS(SVG, "path");
    this.line.setAttribute("class", "spark-line");
    this.area = document.createElementNS(SVG, "path");
    this.area.setAttribute("class", "spark-area");
    const drawing = document.createElementNS(SVG, "svg");
    drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    drawing.setAttribute("preserveAspectRatio", "none");
    drawing.setAttribute("class", "spark");
    drawing.setAttribute("role", "img");
    drawing.append(this.area, this.line);
    this.element = drawing;
  }

  /** `points` are [time, rate, load], `now` is the right edge; both in seconds since the epoch. */
  draw(points, now) {
    const known = points.filter(([, rate]) => rate !== null);
    const highest = Math.max(1, ...known.map(([, rate]) => rate));
    const x = (time) => ((time - now) / SECONDS + 1) * WIDTH;
    const y = (rate) => HEIGHT - 3 - (rate / highest) * (HEIGHT - 8);
    let line = "";
    let area = "";
    let run = [];
    const end = () => {
      if (run.length) {
        const shape = run.map(([time, rate]) => `${x(time).toFixed(1)} ${y(rate).toFixed(1)}`).join("L");
        line += `M${shape}`;
        area += `M${x(run[0][0]).toFixed(1)} ${HEIGHT}L${shape}L${x(run.at(-1)[0]).toFixed(1)} ${HEIGHT}Z`;
      }
      run = [];
    };
    let before = null;
    for (const [time, rate] of points) {
      if (rate === null || (before !== null && time - before > 8)) end();
      if (rate !== null && time >= now - SECONDS) run.push([time, rate]);
      before = time;
    }
    end();
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area);
    this.element.setAttribute("aria-label", `Frames per second over ten minutes; the highest is ${Math.round(highest)}.`);
  }
}
