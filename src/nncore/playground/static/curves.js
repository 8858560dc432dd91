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

const LEFT = 50; // of a plot, for its axis
const TOP = 26; // for its title
const BELOW = 26;
const LOSS = { title: "Loss", format: threeDigits };
const ACCURACY = { title: "Accuracy", format: percent, logY: false, top: 1, whole: true };

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
      count: curve.shape[0],
      x: (/** @type {number} */ i) => at(i, COLUMNS.step),
      y: (/** @type {number} */ i) => at(i, column + p),
      color,
      width: p ? 3 : 1.3,
      label: name + part,
      ended: Boolean(p && run.ended),
    }));
  });
}

/**
 * Losses of a diverging run go far beyond the others: no higher than four times the losses at the start.
 * @param {import("./plot.js").Series[]} series
 */
function highestLoss(series) {
  const first = series
    .filter(({ count }) => count)
    .map(({ y }) => y(0))
    .filter(Number.isFinite);
  return first.length ? 4 * Math.max(...first) : null;
}

/**
 * Loss, and beside or below it accuracy. Where it is narrow the labels are above the curves.
 * @param {FrameMessage} frame
 * @param {CurveChoices} choices
 * @param {ReturnType<typeof theme>} colors
 * @param {number} width
 * @returns {{ plots: Plot[], height: number }}
 */
function curvePlots(frame, choices, colors, width) {
  const both = frame.header.runs.some(({ accuracy }) => accuracy !== null);
  const beside = both && width >= 640;
  const above = width < 420 && frame.header.runs.length === 1;
  const room = LEFT + (above ? 8 : frame.header.runs.length > 1 ? 160 : 140); // for labels
  const [first, second] = beside ? [0.54 * width, 0.46 * width] : [width, width];
  const tall = beside || !both ? 170 : above ? 100 : 130;
  const shared = { ...choices, colors, whole: false, above };
  const losses = curveSeries(frame, colors, COLUMNS.loss);
  /** @type {Plot} */
  const loss = { ...shared, ...LOSS, box: [LEFT, TOP, first - room, tall], series: losses, top: highestLoss(losses) };
  if (!both) return { plots: [loss], height: TOP + tall + BELOW };
  const [left, top] = beside ? [first + LEFT, TOP] : [LEFT, 2 * TOP + tall + BELOW];
  const series = curveSeries(frame, colors, COLUMNS.accuracy);
  return {
    plots: [loss, { ...shared, ...ACCURACY, box: [left, top, second - room, beside ? tall : 0.75 * tall], series }],
    height: top + (beside ? tall : 0.75 * tall) + BELOW,
  };
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

class CurvesPanel {
  /** @type {FrameMessage | null} */
  #last = null;
  /** @type {Plot[]} */
  #plots = [];
  /** @type {CurveChoices} */
  #choices = { logX: false, logY: false, cursor: null };
  #canvas = sheet("Loss and accuracy against steps", "curves-canvas");
  #ended = h("div.curves-ended", { role: "status" });
  #bubble = hoverTip();
  #resized = new ResizeObserver(() => this.update());

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    const tools = h("div.play-tools", {}, this.#tool("Log steps", "logX"), this.#tool("Log loss", "logY"), this.#ended);
    this.el = h("div.play-curves", {}, tools, h("div.curves-stage", {}, this.#canvas.el, this.#bubble.el));
    this.#resized.observe(this.el);
    this.#canvas.el.addEventListener("pointermove", (event) => this.#look(event.offsetX, event.offsetY));
    this.#canvas.el.addEventListener("pointerleave", () => this.#look(-1, -1));
  }

  /**
   * @param {string} text
   * @param {"logX" | "logY"} name
   */
  #tool(text, name) {
    return onOff(text, false, (on) => {
      this.#choices[name] = on;
      this.update();
    });
  }

  update() {
    const width = this.#canvas.el.clientWidth;
    if (!this.#last || !width) return;
    const { plots, height } = curvePlots(this.#last, this.#choices, theme(this.app.root), width);
    this.#plots = plots;
    this.#canvas.el.style.height = `${height}px`;
    this.#canvas.draw((g) => plots.forEach((plot) => paintPlot(g, plot)));
    this.#ended.textContent = endedText(this.#last.header.runs);
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  #look(x, y) {
    const inside = (/** @type {Plot} */ { box: [left, top, width, height] }) =>
      x >= left && x <= left + width && y >= top && y <= top + height;
    const plot = this.#plots.find(inside);
    const step = plot ? nearestPoint(plot, x) : null;
    this.#choices.cursor = step;
    this.update();
    this.#bubble.show(plot && step !== null ? pointText(plot, step) : [], x, y, this.#canvas.el.clientWidth);
  }

  /** @param {FrameMessage} frame */
  paint(frame) {
    this.#last = frame;
    this.update();
  }

  close() {
    this.#resized.disconnect();
  }
}

/** @param {import("./types").FrameRun[]} runs */
function endedText(runs) {
  const name = (/** @type {number} */ r) => (runs.length > 1 ? `${"AB"[r]} ` : "");
  return runs.flatMap(({ ended }, r) => (ended ? [`${name(r)}ended: ${ended}`] : [])).join(" ");
}

/**
 * @param {App} app
 * @returns {import("./types").View}
 */
export function curvesView(app) {
  return new CurvesPanel(app);
}
