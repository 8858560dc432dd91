/** The drawings of momentum: the map of its regimes, and a run. */

import { image, ticks } from "./canvas.js";
import { CLASSES, css, theme } from "./colors.js";
import { contour, strokeContour } from "./contours.js";
import { short } from "./dom.js";
import { exploreAxes, explorePath } from "./explorecharts.js";

/** @typedef {CanvasRenderingContext2D} Pen */
/** @typedef {(a: number, mu: number) => [number, number]} Place */
/** @typedef {import("./types").App} App */
/** @typedef {import("./types").MomentumState} MomentumState */
/** @typedef {import("./types").Message<import("./types").Momentum>} Regimes */

/** @type {Record<string, import("./colors.js").RGB>} */
const MOMENTUM_COLORS = {
  monotone: CLASSES[1],
  ripples: CLASSES[2],
  "one step": CLASSES[3],
  oscillation: CLASSES[0],
  divergence: CLASSES[4],
};
/** @type {[string, number, number][]} */
const MOMENTUM_PLACES = [
  ["monotone", 0.05, 0.05],
  ["ripples", 1.15, 0.47],
  ["oscillation", 1.5, 0.05],
  ["divergence", 2.95, 0.25],
];
const MOMENTUM_LARGEST = 12; // |x| of a run that diverges

/** @type {(g: Pen, width: number, height: number, reply: Regimes, chosen: MomentumState, app: App) => void} */
export function paintRegimes(g, width, height, reply, chosen, app) {
  const { ground, ink, accent } = theme(app.root);
  const [x0, x1, y0, y1] = reply.header.box;
  paintRates(g, width, height, reply, ground, ink);
  /** @type {Place} */
  const place = (a, mu) => [((a - x0) / (x1 - x0)) * width, (1 - (mu - y0) / (y1 - y0)) * height];
  paintBorders(g, place, ink);
  paintRegimeNames(g, place, ink, ground);
  paintMomentumTicks(g, place, [x0, x1, y0, y1], ink);
  paintMomentumPoint(g, place(chosen.rate, chosen.momentum), accent);
}

/**
 * The regimes in their colors, stronger the faster the error changes, and lines of equal rate.
 * @type {(g: Pen, width: number, height: number, reply: Regimes, ground: number[], ink: string) => void}
 */
function paintRates(g, width, height, reply, ground, ink) {
  const { map, rate } = reply.arrays;
  const [rows, columns] = map.shape;
  const pixels = new Uint8ClampedArray(4 * map.data.length);
  map.data.forEach((regime, k) => {
    const share = 0.25 + 0.6 * Math.min(1, Math.abs(1 - rate.data[k]));
    const color = MOMENTUM_COLORS[reply.header.regimes[regime]];
    pixels.set([...ground.map((c, i) => c + share * (color[i] - c)), 255], 4 * k);
  });
  /** @type {[number, number, number, number]} */
  const whole = [0, 0, width, height];
  image(g, pixels, columns, rows, whole);
  for (const level of [0.2, 0.4, 0.6, 0.8, 1, 1.5, 2]) {
    g.strokeStyle = ink;
    [g.globalAlpha, g.lineWidth] = level === 1 ? [0.9, 2] : [0.3, 1];
    strokeContour(g, contour(rate.data, columns, rows, level), columns, rows, whole);
  }
  g.globalAlpha = 1;
}

/** @type {(g: Pen, place: Place, ink: string) => void} */
function paintBorders(g, place, ink) {
  const all = Array.from({ length: 201 }, (_, k) => k / 200);
  /** @type {(side: number) => [number, number][]} */
  const border = (side) => all.map((mu) => place((1 + side * Math.sqrt(mu)) ** 2, mu));
  g.strokeStyle = ink;
  g.lineWidth = 1.6;
  g.setLineDash([6, 4]);
  for (const side of [-1, 1]) explorePath(g, border(side));
  g.setLineDash([]);
  explorePath(g, [place(1, 0.01), place(1, 0.075)]);
  g.beginPath();
  g.arc(...place(1, 0), 5, 0, 7);
  g.stroke();
  g.font = "12px system-ui, sans-serif";
  g.fillStyle = ink;
  [g.textAlign, g.textBaseline] = ["center", "bottom"];
  for (const rate of [0.4, 0.6, 0.8]) g.fillText(`|σ| = ${rate}`, ...place(1, rate * rate)); // √μ
}

/** @type {(g: Pen, place: Place, ink: string, ground: number[]) => void} */
function paintRegimeNames(g, place, ink, ground) {
  const size = Math.min(16, Math.max(10, (place(1, 0)[0] - place(0, 0)[0]) / 9)); // apart on narrow maps too
  g.font = `600 ${size}px system-ui, sans-serif`;
  [g.textAlign, g.textBaseline] = ["left", "bottom"];
  for (const [name, a, mu] of [...MOMENTUM_PLACES, /** @type {[string, number, number]} */ (["one step", 0.83, 0.07])]) {
    const [x, y] = place(a, mu);
    g.strokeStyle = css(/** @type {import("./colors.js").RGB} */ (ground), 0.8);
    g.lineWidth = 4;
    g.strokeText(name, x, y - 12);
    g.fillStyle = ink;
    g.fillText(name, x, y - 12);
  }
}

/** @type {(g: Pen, place: Place, box: number[], ink: string) => void} */
function paintMomentumTicks(g, place, [x0, x1, y0, y1], ink) {
  g.font = "12px system-ui, sans-serif";
  g.fillStyle = ink;
  [g.textAlign, g.textBaseline] = ["center", "bottom"];
  for (const a of ticks(x0, x1, 8).slice(1, -1)) g.fillText(short(a), place(a, 0)[0], place(a, 0)[1] - 2);
  [g.textAlign, g.textBaseline] = ["left", "middle"];
  for (const mu of ticks(y0, y1, 5).slice(1, -1)) g.fillText(short(mu), 4, place(0, mu)[1]);
  g.font = "italic 600 16px Georgia, serif";
  g.fillText("μ", 6, 14);
  g.textAlign = "right";
  g.fillText("ηλ", place(x1, 0)[0] - 8, place(0, 0)[1] - 12);
}

/** @type {(g: Pen, at: [number, number], accent: string) => void} */
function paintMomentumPoint(g, [x, y], accent) {
  g.beginPath();
  g.arc(x, y, 9, 0, 7);
  g.fillStyle = accent;
  g.fill();
  g.strokeStyle = "#fff";
  g.lineWidth = 3;
  g.stroke();
}

/** @type {(g: Pen, width: number, height: number, reply: Regimes, app: App) => void} */
export function paintMomentumRun(g, width, height, reply, app) {
  const ink = theme(app.root);
  const whole = Array.from(reply.arrays.run.data);
  const gone = whole.findIndex((value) => Math.abs(value) > 1.1 * MOMENTUM_LARGEST);
  const run = gone < 0 ? whole : whole.slice(0, gone + 1);
  const theory = Array.from(reply.arrays.theory.data).slice(0, run.length);
  const top = 1.1 * Math.min(MOMENTUM_LARGEST, Math.max(1, ...run.map(Math.abs)));
  /** @type {[number, number, number, number]} */
  const box = [44, 26, width - 60, height - 66];
  const labels = { xLabel: "step", yLabel: "x, the error; band: C |σ|ᵗ" };
  const place = exploreAxes(g, { box, x: [0, whole.length - 1], y: [-top, top], ...labels, ink });
  const limit = (/** @type {number} */ value) => place.y(Math.max(-9 * top, Math.min(9 * top, value)));
  const ahead = theory.map((value, t) => [place.x(t), limit(value)]);
  const back = theory.map((value, t) => [place.x(t), limit(-value)]).reverse();
  const line = run.map((value, t) => [place.x(t), limit(value)]);
  g.save();
  g.beginPath();
  g.rect(box[0] - 4, box[1], box[2] + 8, box[3]);
  g.clip();
  paintRunLine(g, line, [...ahead, ...back], MOMENTUM_COLORS[reply.header.regime]);
  g.restore();
}

/** @type {(g: Pen, line: number[][], band: number[][], color: import("./colors.js").RGB) => void} */
function paintRunLine(g, line, band, color) {
  g.beginPath();
  for (const [x, y] of band) g.lineTo(x, y);
  g.fillStyle = css(color, 0.22);
  g.fill();
  g.strokeStyle = g.fillStyle = css(color);
  g.lineWidth = 2;
  explorePath(g, line);
  for (const [x, y] of line) {
    g.beginPath();
    g.arc(x, y, 3, 0, 7);
    g.fill();
  }
}
