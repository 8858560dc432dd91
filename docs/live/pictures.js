/** Pictures of a training: the network with the outputs of its units over the plane, and the losses. */

import { image, ticks } from "./canvas.js";
import { CLASSES, css, diverging, theme } from "./colors.js";
import { grouped, short } from "./dom.js";

/** @typedef {import("./training.js").Training} Training */
/** @typedef {[number, number]} Place */
/** @typedef {{ large: number, small: number, left: number, at(k: number, count: number, column: number): Place }} Layout */

/**
 * The units in columns, and at the right the decision map.
 * @param {number} width
 * @param {number} height
 * @param {number} units of a hidden layer
 * @returns {Layout}
 */
function layoutOf(width, height, units) {
  const large = Math.min(height, 0.55 * width);
  const small = Math.min(height / units - 5, 0.1 * width);
  const left = width - large;
  return { large, small, left, at: (k, count, column) => [(column * left) / 3 + small / 2, (height * (k + 0.5)) / count] };
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {number} width
 * @param {number} height
 * @param {Training} training
 */
export function paintNetwork(g, width, height, { arrays, constants: { UNITS, SIDE, HALF } }) {
  const { ground } = theme(document.documentElement);
  const layout = layoutOf(width, height, UNITS);
  paintWeights(g, height, layout, arrays, UNITS);
  [arrays.plane, arrays.silu_1, arrays.silu_2].forEach((values, column) => {
    const most = largest(values, column ? UNITS : 2);
    most.forEach((scale, u) => {
      const [x, y] = layout.at(u, most.length, column).map((c) => c - layout.small / 2);
      paintValues(g, (k) => (2 * values[most.length * k + u]) / scale, SIDE, 2, [x, y, layout.small, layout.small]);
    });
  });
  const { large, left } = layout;
  const z = arrays.dense_3;
  const top = (height - large) / 2;
  paintValues(g, (k) => 0.8 * Math.tanh((z[2 * k] - z[2 * k + 1]) / 2), SIDE, 1, [left, top, large, large]);
  for (const [i, label] of arrays.y.entries()) {
    const [x, y] = [arrays.X[2 * i], -arrays.X[2 * i + 1]].map((c) => (large * (1 + c / HALF)) / 2);
    g.beginPath();
    g.arc(left + x, top + y, large / 110, 0, 7);
    [g.fillStyle, g.strokeStyle, g.lineWidth] = [css(CLASSES[Number(label)]), css(ground), 1];
    g.fill();
    g.stroke();
  }
}

/**
 * The largest absolute value of each column.
 * @param {Float32Array} values
 * @param {number} columns
 */
function largest(values, columns) {
  const most = new Float32Array(columns).fill(1e-6);
  for (let i = 0; i < values.length; i++) most[i % columns] = Math.max(most[i % columns], Math.abs(values[i]));
  return most;
}

/**
 * Numbers in [−1, 1] on a square grid, from blue to orange.
 * @param {CanvasRenderingContext2D} g
 * @param {(k: number) => number} value
 * @param {number} side
 * @param {number} every which rows and columns of the grid are painted
 * @param {[number, number, number, number]} box
 */
function paintValues(g, value, side, every, box) {
  const { ground, line } = theme(document.documentElement);
  const shown = side / every;
  const pixels = new Uint8ClampedArray(4 * shown * shown).fill(255);
  for (let k = 0; k < shown * shown; k++)
    pixels.set(diverging(value(every * (Math.floor(k / shown) * side + (k % shown))), ground), 4 * k);
  image(g, pixels, shown, shown, box);
  [g.strokeStyle, g.lineWidth] = [line, 1];
  g.strokeRect(box[0] + 0.5, box[1] + 0.5, box[2] - 1, box[3] - 1);
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {number} height
 * @param {Layout} layout
 * @param {Record<string, any>} arrays
 * @param {number} units
 */
function paintWeights(g, height, { at, left, large }, { W1, W2, W3 }, units) {
  const { ground } = theme(document.documentElement);
  /** @param {number} weight @param {Place} from @param {Place} to */
  const connect = (weight, from, to) => {
    const middle = (from[0] + to[0]) / 2;
    [g.strokeStyle, g.lineWidth] = [css(diverging(Math.sign(weight), ground), 0.6), Math.min(4, Math.abs(weight))];
    g.beginPath();
    g.moveTo(...from);
    g.bezierCurveTo(middle, from[1], middle, to[1], ...to);
    g.stroke();
  };
  for (let u = 0; u < units; u++) {
    for (let j = 0; j < 2; j++) connect(W1[2 * u + j], at(j, 2, 0), at(u, units, 1));
    for (let j = 0; j < units; j++) connect(W2[units * u + j], at(j, units, 1), at(u, units, 2));
    connect(W3[u] - W3[units + u], at(u, units, 2), [left, height / 2 + (large / 2) * ((u + 0.5) / units - 0.5)]);
  }
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {number} width
 * @param {number} height
 * @param {Float64Array} losses
 * @param {number} epochs of the whole training
 */
export function paintLosses(g, width, height, losses, epochs) {
  const { accent, faint, line } = theme(document.documentElement);
  const [left, top, right, bottom, most] = [30, 22, width - 6, height - 36, 0.8];
  /** @param {number} loss */
  const y = (loss) => bottom - ((bottom - top) * Math.min(loss, most)) / most;
  /** @param {number} epoch */
  const x = (epoch) => left + ((right - left) * epoch) / epochs;
  [g.font, g.textAlign, g.fillStyle, g.strokeStyle, g.lineWidth] = ["12px system-ui, sans-serif", "left", faint, line, 1];
  g.fillText("loss of an epoch", left, 12);
  for (const loss of ticks(0, most, 4)) {
    g.fillText(short(loss), 2, y(loss) + 4);
    g.strokeRect(left, y(loss), right - left, 0);
  }
  g.textAlign = "center";
  for (const epoch of ticks(0, epochs, 3)) g.fillText(grouped(epoch), x(epoch), bottom + 16);
  g.fillText("epochs", (left + right) / 2, bottom + 32);
  [g.strokeStyle, g.lineWidth] = [accent, 1.6];
  g.beginPath();
  losses.forEach((loss, epoch) => g.lineTo(x(epoch + 1), y(loss)));
  g.stroke();
}
