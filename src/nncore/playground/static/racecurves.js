/** The losses of a race by step, with labels at the ends of the lines. */

import { sheet } from "./canvas.js";
import { theme } from "./colors.js";
import { exploreAxes, explorePath, keptApart, powerOfTen, powerRows } from "./explorecharts.js";
import { raceDash } from "./race.js";

/** @typedef {CanvasRenderingContext2D} Pen */
/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Message<import("./types").Landscape>} Race */

const RACE_FONT = "600 13px system-ui, sans-serif";
const RACE_DEEPEST = 9; // decades of loss below the first one that are drawn

/**
 * The losses by step, with a label at the end of each line.
 * @param {App} app
 */
export function raceCurves(app) {
  const paper = sheet("The losses of the optimizers by step", "explore-chart");
  /** @type {(race: Race, at: number) => void} */
  const paint = (race, at) => paper.draw((g, width, height) => paintCurves(g, width, height, race, at, app));
  return { el: paper.el, paint };
}

/** @type {(g: Pen, width: number, height: number, race: Race, at: number, app: App) => void} */
function paintCurves(g, width, height, race, at, app) {
  const { racers, lowest, threshold } = race.header;
  if (!racers.length) return;
  const ink = theme(app.root);
  const losses = racers.map((_, i) => Array.from(race.arrays[`${i}/loss`].data, (loss) => loss - (lowest ?? 0)));
  const scale = lossScale(losses);
  const steps = Math.max(1, ...losses.map((line) => line.length - 1));
  g.font = RACE_FONT;
  const margin = 16 + Math.max(...racers.map((racer) => g.measureText(racer.label).width));
  const label = lowest === null ? "loss" : "loss above the minimum";
  /** @type {[number, number, number, number]} */
  const box = [56, 26, width - 56 - margin, height - 26 - 40];
  const axes = { box, x: /** @type {[number, number]} */ ([0, steps]), y: scale.range, xLabel: "step", yLabel: label, ink };
  const place = exploreAxes(g, { ...axes, rows: scale.rows });
  if (threshold && scale.powers) raceGoal(g, place.y(Math.log10(threshold)), box, ink.faint);
  const ends = losses.map((line) => Math.max(box[1], Math.min(box[1] + box[3], place.y(scale.of(line[line.length - 1])))));
  const labels = keptApart(ends, 15, box[1], box[1] + box[3]);
  racers.forEach((racer, i) => {
    const color = inkColor(app.catalog.colors[racer.name] ?? racer.color, ink.dark);
    const line = losses[i].map((loss, step) => [place.x(step), place.y(scale.of(loss))]);
    g.strokeStyle = g.fillStyle = color;
    paintCurve(g, line, at, box, raceDash(race, i));
    g.font = RACE_FONT;
    [g.textAlign, g.textBaseline] = ["left", "middle"];
    g.fillText(racer.label, box[0] + box[2] + 8, labels[i]);
  });
}

/**
 * A curve: faint as a whole, strong up to the present step.
 * @type {(g: Pen, line: number[][], at: number, box: number[], dashes: number[]) => void}
 */
function paintCurve(g, line, at, box, dashes) {
  g.save();
  g.beginPath();
  g.rect(box[0], box[1] - 2, box[2] + 4, box[3] + 4);
  g.clip();
  g.setLineDash(dashes);
  [g.globalAlpha, g.lineWidth] = [0.25, 1.5];
  explorePath(g, line);
  [g.globalAlpha, g.lineWidth] = [1, 2.4];
  explorePath(g, line.slice(0, Math.floor(at) + 1));
  g.restore();
}

/** @type {(g: Pen, y: number, box: number[], color: string) => void} */
function raceGoal(g, y, box, color) {
  if (y > box[1] + box[3]) return;
  g.setLineDash([4, 4]);
  g.strokeStyle = g.fillStyle = color;
  explorePath(g, [
    [box[0], y],
    [box[0] + box[2], y],
  ]);
  g.setLineDash([]);
  [g.textAlign, g.textBaseline] = ["right", "bottom"];
  g.fillText(`${powerOfTen(-6)} of the start`, box[0] + box[2] - 4, y - 3);
}

/**
 * Powers of ten where all losses are positive, else arcsinh, which is linear around 0.
 * @param {number[][]} losses
 */
function lossScale(losses) {
  const all = losses.flat().filter((loss) => Number.isFinite(loss));
  if (all.every((loss) => loss >= 0)) {
    const first = Math.log10(Math.max(1e-30, ...losses.map((line) => line[0])));
    const logs = all.filter((loss) => loss > 0).map(Math.log10);
    const low = Math.max(first - RACE_DEEPEST, Math.min(first - 1, ...logs));
    const of = (/** @type {number} */ loss) => (loss > 0 ? Math.log10(loss) : low - 1);
    const range = /** @type {[number, number]} */ ([low, Math.min(first + 3, Math.max(...logs, first) + 0.2)]);
    return { of, range, rows: powerRows(range), powers: true };
  }
  const ends = [Math.min(...all), Math.max(...all)].map((loss) => Math.asinh(Math.max(-1e6, loss)));
  const range = /** @type {[number, number]} */ ([ends[0], ends[1] + 0.1]);
  return { of: Math.asinh, range, rows: signedRows(range), powers: false };
}

/**
 * Grid lines at 0 and at powers of ten of both signs, where y is an arcsinh.
 * @param {[number, number]} range
 * @returns {[number, string][]}
 */
function signedRows(range) {
  const sizes = [0, 1, 2, 4, 6].map((exponent) => /** @type {[number, string]} */ ([10 ** exponent, powerOfTen(exponent)]));
  /** @type {[number, string][]} */
  const both = [[0, "0"], ...sizes, ...sizes.map(([size, text]) => /** @type {[number, string]} */ ([-size, `−${text}`]))];
  return both
    .map(([size, text]) => /** @type {[number, string]} */ ([Math.asinh(size), text]))
    .filter(([at]) => at >= range[0] && at <= range[1]);
}

/**
 * A color that can be read on the page: dark ones are lighter on a dark page.
 * @param {string} color "#rrggbb"
 * @param {boolean} dark
 */
function inkColor(color, dark) {
  return dark ? `color-mix(in srgb, ${color} 62%, white)` : color;
}
