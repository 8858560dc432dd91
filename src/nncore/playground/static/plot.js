/** A plot of curves on a part of a canvas: axes, lines, labels at their ends. */

import { ticks } from "./canvas.js";
import { short } from "./dom.js";

/**
 * `x` and `y` by index; `width` of the line; `ended`: the last point is marked.
 * @typedef {{ count: number, x: (i: number) => number, y: (i: number) => number, color: string, width: number, label: string,
 *   ended: boolean }} Series
 */
/**
 * `top`: no value above it is shown; `whole`: the axis goes from 0 to it; `above`: the labels are beside the title.
 * @typedef {{ box: [number, number, number, number], title: string, logX: boolean, logY: boolean, series: Series[],
 *   top: number | null, whole: boolean, above: boolean, cursor: number | null,
 *   colors: ReturnType<typeof import("./colors.js").theme>,
 *   format: (value: number) => string }} Plot
 */
/** @typedef {{ from: number, to: number, at(value: number): number, marks: number[] }} PlotScale */

/**
 * @param {number[]} range
 * @param {boolean} log
 * @param {number} start pixel of its beginning
 * @param {number} length pixels, negative: upward
 * @returns {PlotScale}
 */
function plotScale([low, high], log, start, length) {
  const from = log ? Math.max(low, 1e-30) : low;
  const to = high > from ? high : from + (Math.abs(from) || 1);
  if (!log)
    return {
      from,
      to,
      at: (value) => start + (length * (value - from)) / (to - from),
      marks: ticks(from, to, Math.abs(length) / 45),
    };
  const span = Math.log10(to / from);
  const at = (/** @type {number} */ value) => start + (length * Math.log10(Math.max(value, from) / from)) / span;
  return { from, to, at, marks: logMarks(from, to, (60 * span) / Math.abs(length)) };
}

/**
 * Powers of ten, or 1, 2, 5 times them where there are few.
 * @param {number} from
 * @param {number} to
 * @param {number} least powers between two marks
 */
function logMarks(from, to, least) {
  const every = Math.max(1, Math.ceil(least));
  const factors = Math.log10(to / from) < 1.5 ? [1, 2, 5] : [1];
  const marks = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++) {
    if (power % every === 0) marks.push(...factors.map((factor) => Number(`${factor}e${power}`)));
  }
  return marks.filter((mark) => mark >= from * 0.999 && mark <= to * 1.001);
}

/**
 * Smallest and largest of what can be shown.
 * @param {Series[]} series
 * @param {"x" | "y"} axis
 * @param {boolean} positive
 */
function plotRange(series, axis, positive) {
  let [low, high] = [Infinity, -Infinity];
  for (const line of series) {
    for (let i = 0; i < line.count; i++) {
      const value = line[axis](i);
      if (!Number.isFinite(value) || (positive && value <= 0)) continue;
      [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
  }
  return low <= high ? [low, high] : [1, 2];
}

/**
 * @param {Plot} plot
 * @returns {{ x: PlotScale, y: PlotScale }}
 */
export function plotScales({ box: [left, top, width, height], series, logX, logY, top: highest, whole }) {
  const [first, last] = plotRange(series, "x", false);
  const [low, high] = plotRange(series, "y", logY);
  const capped = highest === null ? high : whole ? highest : Math.min(high, highest);
  return {
    x: plotScale(logX ? [Math.max(1, first), Math.max(2, last)] : [first, last], logX, left, width),
    y: plotScale(logY ? [low, high] : [Math.min(0, low), capped * 1.03], logY, top + height, -height),
  };
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Plot} plot
 */
export function paintPlot(g, plot) {
  const { x, y } = plotScales(plot);
  const [left, top, width, height] = plot.box;
  paintPlotAxes(g, plot, x, y);
  g.save();
  g.beginPath();
  g.rect(left, top - 2, width + 4, height + 4);
  g.clip();
  for (const line of plot.series) paintSeries(g, line, x, y);
  if (plot.cursor !== null) paintCursor(g, plot, x, plot.cursor);
  g.restore();
  if (plot.above) paintLegend(g, plot);
  else paintEnds(g, plot, x, y);
}

/**
 * The last values, in the line of the title, which is at the very left.
 * @param {CanvasRenderingContext2D} g
 * @param {Plot} plot
 */
function paintLegend(g, { box: [left, top, width], title, series, format }) {
  g.font = "600 13px system-ui, sans-serif";
  const end = g.measureText(title).width + 6;
  [g.textAlign, g.textBaseline] = ["right", "alphabetic"];
  let right = left + width;
  for (const { label, count, y, color, width: thick } of series.filter(({ count }) => count).reverse()) {
    const text = `${label.replace("training", "train")} ${format(y(count - 1))}`;
    g.fillStyle = color;
    g.font = `${thick > 2 ? "600 " : ""}11px system-ui, sans-serif`;
    const taken = g.measureText(text).width;
    if (right - taken < end) return;
    g.fillText(text, right, top - 9);
    right -= taken + 9;
  }
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Plot} plot
 * @param {PlotScale} x
 * @param {PlotScale} y
 */
function paintPlotAxes(g, { box: [left, top, width, height], title, colors, format, above }, x, y) {
  g.lineWidth = 1;
  g.strokeStyle = colors.line;
  g.fillStyle = colors.faint;
  g.font = "11px system-ui, sans-serif";
  [g.textAlign, g.textBaseline] = ["right", "middle"];
  g.beginPath();
  for (const mark of y.marks) {
    g.moveTo(left, Math.round(y.at(mark)) + 0.5);
    g.lineTo(left + width, Math.round(y.at(mark)) + 0.5);
    g.fillText(format(mark), left - 6, y.at(mark));
  }
  g.stroke();
  [g.textAlign, g.textBaseline] = ["center", "top"];
  let free = -Infinity; // where the label before has ended
  x.marks.filter(Number.isInteger).forEach((mark, i) => {
    const text = (i ? "" : "step ") + mark.toLocaleString("en-US");
    const half = g.measureText(text).width / 2;
    const middle = Math.min(x.at(mark), left + width + 8 - half); // not beyond the edge
    if (middle - half < free) return;
    g.fillText(text, middle, top + height + 6);
    free = middle + half + 8;
  });
  [g.textAlign, g.textBaseline] = ["left", "alphabetic"];
  g.fillStyle = colors.ink;
  g.font = "600 13px system-ui, sans-serif";
  g.fillText(title, above ? 0 : left, top - 9);
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Series} line
 * @param {PlotScale} x
 * @param {PlotScale} y
 */
function paintSeries(g, line, x, y) {
  g.beginPath();
  let begun = false;
  for (let i = 0; i < line.count; i++) {
    const value = line.y(i);
    if (!Number.isFinite(value)) continue;
    if (begun) g.lineTo(x.at(line.x(i)), y.at(value));
    else g.moveTo(x.at(line.x(i)), y.at(value));
    begun = true;
  }
  [g.lineWidth, g.strokeStyle, g.lineJoin] = [line.width, line.color, "round"];
  g.stroke();
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Plot} plot
 * @param {PlotScale} x
 * @param {number} step
 */
function paintCursor(g, { box: [, top, , height], colors }, x, step) {
  [g.lineWidth, g.strokeStyle] = [1, colors.ink];
  g.beginPath();
  g.moveTo(x.at(step), top);
  g.lineTo(x.at(step), top + height);
  g.stroke();
}

/**
 * Labels beside the ends of the curves, pushed apart where they would overlap.
 * @param {CanvasRenderingContext2D} g
 * @param {Plot} plot
 * @param {PlotScale} x
 * @param {PlotScale} y
 */
function paintEnds(g, { box: [left, top, width, height], series, format }, x, y) {
  const ends = series
    .filter(({ count }) => count)
    .map((line) => ({ line, value: line.y(line.count - 1), last: x.at(line.x(line.count - 1)) }));
  const limited = (/** @type {number} */ value) =>
    Math.max(top, Math.min(top + height, Number.isFinite(value) ? y.at(value) : top));
  const labels = ends
    .map((end) => ({ ...end, end: limited(end.value), place: limited(end.value) }))
    .sort((a, b) => a.end - b.end);
  for (let i = 1; i < labels.length; i++) labels[i].place = Math.max(labels[i].place, labels[i - 1].place + 15);
  const beyond = Math.max(0, (labels.at(-1)?.place ?? 0) - (top + height));
  [g.textAlign, g.textBaseline] = ["left", "middle"];
  for (const { line, value, last, end, place } of labels) {
    g.fillStyle = line.color;
    g.strokeStyle = line.color;
    g.font = `${line.width > 2 ? "600 " : ""}12px system-ui, sans-serif`;
    g.fillText(`${line.label} ${format(value)}`, left + width + 10, place - beyond);
    if (line.ended) paintCross(g, last, end);
  }
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {number} x
 * @param {number} y
 */
function paintCross(g, x, y) {
  g.lineWidth = 2.5;
  g.beginPath();
  for (const way of [-1, 1]) {
    g.moveTo(x - 5, y - 5 * way);
    g.lineTo(x + 5, y + 5 * way);
  }
  g.stroke();
}

/** @param {number} value */
export function percent(value) {
  return Number.isNaN(value) ? "–" : `${short(Math.round(1000 * value) / 10)} %`;
}

/** @param {number | null} value */
export function threeDigits(value) {
  return short(value === null ? null : Number(value.toPrecision(3)));
}
