/** Loss and accuracy of all runs against steps. */

import { sheet } from "./canvas.js";
import { theme } from "./colors.js";
import { h } from "./dom.js";
import { hoverTip, onOff } from "./parts.js";
import { paintPlot, percent, plotScales, threeDigits } from "./plot.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Message<import("./types").Frame>} FrameMessage */
/** @typedef {import("./plot.js").Plot} Plot */
/** @typedef {{ logX: boolean, logY: boolean, cursor: number | null }} CurveChoices */

const RUN_COLORS = { light: ["#0062a8", "#b34700"], dark: ["#6fb3ff", "#ff9d4d"] };
const COLUMNS = { step: 0, loss: 1, accuracy: 3 }; // of training; that of validation follows

/**
 * @param {FrameMessage} frame
 * @param {ReturnType<typeof theme>} colors
 * @param {number} column
 * @returns {import("./plot.js").Series[]}
 */
function curveSeries(frame, colors, column) {
  const { runs } = frame.header;
  return runs.flatMap((run, r) => {
    const curve = frame.arrays[`${r}/curve`];
    if (!curve) return [];
    const color = RUN_COLORS[colors.dark ? "dark" : "light"][r % 2];
    const name = runs.length > 1 ? `${"AB"[r]} ` : "";
    const at = (/** @type {number} */ i, /** @type {number} */ c) => curve.data[i * curve.shape[1] + c];
    return ["training", "validation"].map((part, p) => ({
      count: curve.shape[0], x: (/** @type {number} */ i) => at(i, COLUMNS.step), y: (/** @type {number} */ i) => at(i, column + p),
      color, width: p ? 3 : 1.3, label: name + part, ended: Boolean(p && run.ended),
    }));
  });
}

/**
 * Losses of a diverging run go far beyond the others: no higher than four times the losses at the start.
 * @param {import("./plot.js").Series[]} series
 */
function highestLoss(series) {
  const first = series.filter(({ count }) => count).map(({ y }) => y(0)).filter(Number.isFinite);
  return first.length ? 4 * Math.max(...first) : null;
}

/**
 * @param {FrameMessage} frame
 * @param {CurveChoices} choices
 * @param {ReturnType<typeof theme>} colors
 * @param {number} width
 * @returns {{ plots: Plot[], height: number }}
 */
function curvePlots(frame, choices, colors, width) {
  const both = frame.header.runs.some(({ accuracy }) => accuracy !== null);
  const beside = both && width >= 640;
  const room = frame.header.runs.length > 1 ? 160 : 140;
  const widths = beside ? [0.54 * width, 0.46 * width] : [width, width];
  const tall = beside || !both ? 170 : 140;
  const losses = curveSeries(frame, colors, COLUMNS.loss);
  const shared = { ...choices, colors, whole: false };
  /** @type {Plot[]} */
  const plots = [{
    ...shared, box: [48, 26, widths[0] - 48 - room, tall], title: "Loss", series: losses, top: highestLoss(losses), format: threeDigits,
  }];
  if (both) {
    const [left, top] = beside ? [widths[0] + 52, 26] : [48, tall + 76];
    const series = curveSeries(frame, colors, COLUMNS.accuracy);
    plots.push({ ...shared, logY: false, box: [left, top, widths[1] - 52 - room, tall], title: "Accuracy", series, top: 1, whole: true, format: percent });
  }
  return { plots, height: 26 + tall + 26 + (both && !beside ? tall + 50 : 0) };
}

/**
 * The point of a curve nearest to a place.
 * @param {Plot} plot
 * @param {number} x
 */
function nearestPoint(plot, x) {
  const [line] = plot.series;
  if (!line?.count) return null;
  const scale = plotScales(plot).x;
  let best = 0;
  for (let i = 1; i < line.count; i++) if (Math.abs(scale.at(line.x(i)) - x) < Math.abs(scale.at(line.x(best)) - x)) best = i;
  return line.x(best);
}

/**
 * @param {Plot} plot
 * @param {number} step
 */
function pointText(plot, step) {
  const lines = plot.series.map(({ count, x, y, label }) => {
    let i = 0;
    while (i < count - 1 && x(i) < step) i++;
    return `${label} ${plot.format(y(i))}`;
  });
  return [`step ${step.toLocaleString("en-US")}`, ...lines];
}

/**
 * @param {App} app
 * @returns {import("./types").View}
 */
export function curvesView(app) {
  const canvas = sheet("Loss and accuracy against steps", "curves-canvas");
  /** @type {CurveChoices} */
  const choices = { logX: false, logY: false, cursor: null };
  const tools = /** @type {const} */ (["logX", "logY"]).map((name, i) =>
    onOff(["Log steps", "Log loss"][i], false, (on) => {
      choices[name] = on;
      draw();
    }),
  );
  const [ended, bubble] = [h("div.curves-ended", { role: "status" }), hoverTip()];
  const el = h("div.play-curves", {}, h("div.play-tools", {}, ...tools, ended), h("div.curves-stage", {}, canvas.el, bubble.el));
  /** @type {FrameMessage | null} */
  let last = null;
  /** @type {Plot[]} */
  let plots = [];

  function draw() {
    const width = canvas.el.clientWidth;
    if (!last || !width) return;
    const layout = curvePlots(last, choices, theme(app.root), width);
    plots = layout.plots;
    canvas.el.style.height = `${layout.height}px`;
    canvas.draw((g) => plots.forEach((plot) => paintPlot(g, plot)));
    const { runs } = last.header;
    ended.textContent = runs.flatMap((run, r) => (run.ended ? [`${runs.length > 1 ? `${"AB"[r]} ` : ""}ended: ${run.ended}`] : [])).join(" ");
  }
  /** @param {PointerEvent} event */
  function look({ offsetX: x, offsetY: y }) {
    const plot = plots.find(({ box: [left, top, width, height] }) => x >= left && x <= left + width && y >= top && y <= top + height);
    choices.cursor = plot ? nearestPoint(plot, x) : null;
    draw();
    bubble.show(plot && choices.cursor !== null ? pointText(plot, choices.cursor) : [], x, y, canvas.el.clientWidth);
  }
  canvas.el.addEventListener("pointermove", look);
  canvas.el.addEventListener("pointerleave", () => {
    choices.cursor = null;
    bubble.show([], 0, 0, 0);
    draw();
  });
  const resized = new ResizeObserver(draw);
  resized.observe(el);
  return {
    el,
    update: draw,
    paint(frame) {
      last = frame;
      draw();
    },
    close: () => resized.disconnect(),
  };
}
