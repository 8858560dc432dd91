/** Why initialization matters: variance of signals and gradients by layer of a deep chain. */

import { sheet } from "./canvas.js";
import { CLASSES, css, theme } from "./colors.js";
import { h } from "./dom.js";
import { explored, exploreSelect, exploreSlider } from "./explore.js";
import { exploreAxes, explorePath, powerRows } from "./explorecharts.js";

/** @typedef {CanvasRenderingContext2D} Pen */
/** @typedef {import("./types").App} App */
/** @typedef {import("./types").InitializationState} InitializationState */
/** @typedef {(change: Partial<InitializationState>) => void} ChainChange */
/** @typedef {import("./types").Message<import("./types").Initialization>} Signals */

const CHAIN_SIGNAL = CLASSES[1];
const CHAIN_GRADIENT = CLASSES[0];
const CHAIN_DECADES = 4; // of the axis of variances

/**
 * @param {App} app
 * @returns {import("./types").View}
 */
export function initializationView(app) {
  /** @type {Signals | null} */
  let reply = null;
  const message = h("div.explore-message", { "aria-live": "polite" });
  const forward = sheet("Variance of h by layer: measured, and by theory", "explore-chart");
  const backward = sheet("Variance of δ by layer: measured, and by theory", "explore-chart");
  const histograms = sheet("Histograms of h by layer", "explore-histograms");
  const state = explored(app, "initialization", draw, (answer) => {
    reply = answer;
    draw();
  });
  const controls = initializationControls(app, state);
  function draw() {
    controls.set(state.now());
    const answer = reply;
    if (!answer) return;
    message.replaceChildren(...answer.header.message.split(/(?<=\.) (?=The)/).map((sentence) => h("div", {}, sentence)));
    forward.draw((g, width, height) => paintChainVariances(g, width, height, answer, "forward", app));
    backward.draw((g, width, height) => paintChainVariances(g, width, height, answer, "backward", app));
    histograms.el.style.height = `${Math.max(130, 72 * histogramRows(answer, histograms.size()[0]))}px`;
    histograms.draw((g, width, height) => paintChainHistograms(g, width, height, answer, app));
  }
  const charts = h("div.explore-pair", {}, forward.el, backward.el);
  const legend = "Dots: measured on 200 random examples. Line: what theory says of wide layers.";
  const below = "Below: h of every layer, from minus to plus its largest size; bars that would dwarf the others are cut off.";
  const caption = h("p.explore-caption", {}, `${legend} ${below}`);
  const section = h("section.explore-column", { "aria-label": "Initialization" });
  section.append(controls.el, message, charts, caption, histograms.el);
  return { el: section, update: () => void (app.state.view === "initialization" && state.update()) };
}

/**
 * @param {App} app
 * @param {{ now: () => InitializationState, draft: ChainChange, choose: ChainChange, keep: () => void }} state
 */
function initializationControls(app, { now, draft, choose, keep }) {
  const slider = (/** @type {"depth" | "width" | "scale"} */ name, /** @type {any} */ range) =>
    exploreSlider({ label: name, value: now()[name], input: (value) => draft({ [name]: value }), done: keep, ...range });
  const depth = slider("depth", { title: "Number of layers", minimum: 1, maximum: 50, whole: true });
  const width = slider("width", { title: "Units of each layer", minimum: 1, maximum: 512, whole: true, log: true });
  const scale = slider("scale", { title: "Factor on the initial weights", minimum: 0.1, maximum: 10, log: true });
  const activation = exploreSelect("activation", app.catalog.activations, (name) => choose({ activation: name }));
  const choices = [{ name: "default", label: "default" }, ...app.catalog.initializers.filter(({ name }) => name !== "default")];
  const init = exploreSelect("weights", choices, (name) => choose({ init: name }));
  return {
    el: h("div.explore-controls.explore-wide", {}, activation.el, init.el, depth.el, width.el, scale.el),
    /** @param {InitializationState} shown */
    set(shown) {
      depth.set(shown.depth);
      width.set(shown.width);
      scale.set(shown.scale);
      activation.select.value = shown.activation;
      init.select.value = shown.init;
    },
  };
}

/**
 * Where the axis of variances begins and ends, as exponents of 10.
 * @param {number[]} values
 * @returns {[number, number]}
 */
function chainRange(values) {
  const found = values.filter((value) => value > 0 && Number.isFinite(value)).map(Math.log10);
  const [low, high] = [Math.floor(Math.min(0, ...found)), Math.ceil(Math.max(0.01, ...found))];
  const more = Math.max(0, CHAIN_DECADES - (high - low));
  return [low - Math.ceil(more / 2), high + Math.floor(more / 2)];
}

/** @type {(g: Pen, width: number, height: number, reply: Signals, which: "forward" | "backward", app: App) => void} */
function paintChainVariances(g, width, height, reply, which, app) {
  const ink = theme(app.root);
  const measured = Array.from(reply.arrays[which].data);
  const theory = Array.from(reply.arrays[`${which}/theory`].data);
  const title = which === "forward" ? "variance of the signal h →" : "← variance of the gradient δ";
  const color = which === "forward" ? CHAIN_SIGNAL : CHAIN_GRADIENT;
  /** @type {[number, number, number, number]} */
  const box = [56, 26, width - 72, height - 68];
  const range = chainRange([...measured, ...theory]);
  const ends = /** @type {[number, number]} */ ([0.5, measured.length + 0.5]);
  const place = exploreAxes(g, { box, x: ends, y: range, xLabel: "layer", yLabel: title, ink, rows: powerRows(range) });
  const points = (/** @type {number[]} */ values) =>
    values.map((value, i) => [place.x(i + 1), value > 0 ? place.y(Math.log10(value)) : NaN]);
  g.strokeStyle = ink.ink;
  g.lineWidth = 1.6;
  explorePath(g, points(theory));
  g.fillStyle = css(color);
  g.strokeStyle = css(ink.ground);
  for (const [x, y] of points(measured)) {
    if (Number.isNaN(y)) continue;
    g.beginPath();
    g.arc(x, y, measured.length > 30 ? 4 : 5.5, 0, 7);
    g.fill();
    g.stroke();
  }
}

/** @param {number} value */
function twoDigits(value) {
  const text = value >= 1e-3 && value < 1e4 ? String(Number(value.toPrecision(2))) : value.toExponential(1);
  return text.replace("e-", "e−");
}

/** @type {(reply: Signals, width: number) => number} */
function histogramRows(reply, width) {
  return Math.ceil(reply.header.scales.length / Math.max(1, Math.floor(width / 130)));
}

/** @type {(g: Pen, width: number, height: number, reply: Signals, app: App) => void} */
function paintChainHistograms(g, width, height, reply, app) {
  const ink = theme(app.root);
  const {
    data,
    shape: [depth, bins],
  } = reply.arrays.histograms;
  const rows = histogramRows(reply, width);
  const columns = Math.max(Math.ceil(depth / rows), Math.min(8, depth));
  const [w, tall] = [width / columns, height / rows];
  g.font = "11px system-ui, sans-serif";
  g.textBaseline = "top";
  for (let layer = 0; layer < depth; layer++) {
    const [left, top] = [(layer % columns) * w + 4, Math.floor(layer / columns) * tall];
    const shares = Array.from(data.slice(layer * bins, (layer + 1) * bins));
    const [first, second] = [...shares].sort((a, b) => b - a);
    const most = Math.min(first, 2 * second) || 1; // the zeros of a ReLU would flatten all else
    const [wide, high] = [w - 8, tall - 20];
    g.fillStyle = css(CHAIN_SIGNAL);
    g.beginPath();
    g.moveTo(left, top + high);
    shares.forEach((share, k) =>
      [k, k + 1].forEach((side) => g.lineTo(left + (side * wide) / bins, top + high * (1 - Math.min(1, share / most)))),
    );
    g.lineTo(left + wide, top + high);
    g.fill();
    g.fillStyle = ink.line;
    g.fillRect(left, top + high, wide, 1);
    g.fillStyle = ink.faint;
    g.textAlign = "left";
    g.fillText(String(layer + 1), left, top + high + 3);
    g.textAlign = "right";
    g.fillText(`±${twoDigits(reply.header.scales[layer])}`, left + wide, top + high + 3);
  }
}
