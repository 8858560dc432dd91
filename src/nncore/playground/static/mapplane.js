/** The decision map of data in the plane: the outputs as colors, axes. */

import { image, ticks } from "./canvas.js";
import { CLASSES, css, sequential } from "./colors.js";
import { short } from "./dom.js";
import { paintMarks, toPixel } from "./mappoints.js";
import { signTable, textPlate } from "./pixels.js";

/** @typedef {import("./colors.js").RGB} RGB */
/** @typedef {import("./types").Message<import("./types").Points>} PointsMessage */
/** @typedef {{ left: number, top: number, side: number, box: [number, number, number, number] }} Plane */
/**
 * @typedef {{ plane: Plane, colors: ReturnType<typeof import("./colors.js").theme>, points: PointsMessage, names: string[],
 *   axes: [number, number], validation: boolean, discrete: boolean, range: [number, number],
 *   line: ArrayLike<number> | null, chosen: number | null, batch: number[], title: string }} MapScene
 */

const STRENGTH = 0.78; // of the map's colors, so that the points stand out

/**
 * @param {number} width
 * @param {boolean} bar beside it a bar of colors
 * @param {[number, number, number, number]} box
 * @returns {Plane}
 */
export function mapPlane(width, bar, box) {
  const side = Math.max(120, Math.min(480, width - 46 - (bar ? 70 : 12)));
  return { left: 46, top: 8, side, box };
}

/**
 * A color by probability: the mix of the classes, fading to the ground where they are equal. It is called for each pixel.
 * @param {Uint8ClampedArray | number[]} pixels
 * @param {number} at where its red goes; green and blue follow
 * @param {ArrayLike<number>} data probabilities of the first class, of the second, …, as bytes
 * @param {number} i which of each class
 * @param {number} count of each class
 * @param {{ discrete: boolean, colors: { ground: RGB } }} scene
 */
function blend(pixels, at, data, i, count, { discrete, colors: { ground } }) {
  const classes = data.length / count;
  let top = 0;
  for (let c = 1; c < classes; c++) if (data[c * count + i] > data[top * count + i]) top = c;
  const most = data[top * count + i] / 255;
  const share = discrete ? STRENGTH : (STRENGTH * (most * classes - 1)) / (classes - 1);
  for (let part = 0; part < 3; part++) {
    let color = 0;
    if (discrete) color = CLASSES[top % CLASSES.length][part];
    else for (let c = 0; c < classes; c++) color += (data[c * count + i] / 255) * CLASSES[c % CLASSES.length][part];
    pixels[at + part] = Math.round(ground[part] + share * (color - ground[part]));
  }
}

/** The pixels of a map, in one buffer for all frames. */
export function mapPixels() {
  let pixels = new Uint8ClampedArray(0);
  let key = "";
  /** @type {RGB[]} colors of 256 values: of the probability of class 1, or of a regression's output */
  let table = [];
  return {
    /**
     * @param {{ shape: number[], data: ArrayLike<number> }} map
     * @param {MapScene} scene
     */
    of({ shape: [classes, rows, columns], data }, scene) {
      const { points, discrete, colors } = scene;
      const regression = points.header.task === "regression";
      const count = rows * columns;
      if (pixels.length !== 4 * count) pixels = new Uint8ClampedArray(4 * count).fill(255);
      const wanted = [regression, discrete, colors.dark].join();
      if (key !== wanted) table = Array.from({ length: 256 }, (_, byte) => tableColor(byte, regression, scene));
      key = wanted;
      const last = (classes - 1) * count;
      for (let i = 0; i < count; i++) {
        if (classes > 2) blend(pixels, 4 * i, data, i, count, scene);
        else pixels.set(table[data[last + i]], 4 * i);
      }
      return pixels;
    },
  };
}

/**
 * The pixels of one unit's h over the plane.
 * @param {ArrayLike<number>} bytes −127 … 127
 * @param {RGB} ground
 */
export function unitPixels(bytes, ground) {
  const table = signTable(ground);
  return new Uint8ClampedArray(Uint32Array.from(bytes, (byte) => table[byte & 255]).buffer);
}

/**
 * @param {number} byte
 * @param {boolean} regression
 * @param {MapScene} scene
 * @returns {RGB}
 */
function tableColor(byte, regression, scene) {
  /** @type {RGB} */
  const color = [0, 0, 0];
  if (regression) return sequential(scene.discrete ? (Math.floor(Math.min(0.999, byte / 255) * 8) + 0.5) / 8 : byte / 255);
  blend(color, 0, [255 - byte, byte], 0, 1, scene);
  return color;
}

/**
 * Probabilities of one pixel.
 * @param {ArrayLike<number>} data
 * @param {number} classes
 * @param {number} count
 * @param {number} at
 */
export function pixelShares(data, classes, count, at) {
  const shares = Array.from({ length: classes }, (_, c) => data[c * count + at] / 255);
  return classes === 1 ? [1 - shares[0], shares[0]] : shares;
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {MapScene} scene
 * @param {{ shape: number[], data: ArrayLike<number> }} map
 * @param {Uint8ClampedArray} pixels
 * @param {ReturnType<typeof import("./mappoints.js").mapExamples>} examples
 */
export function paintMap(g, scene, map, pixels, examples) {
  const { left, top, side } = scene.plane;
  if (!scene.line) image(g, pixels, map.shape[2], map.shape[1], [left, top, side, side]);
  g.save();
  g.beginPath();
  g.rect(left, top, side, side);
  g.clip();
  examples.draw(g, scene);
  if (scene.line) paintLine(g, scene, scene.line);
  paintMarks(g, scene, scene.batch, 6.5, 1.2);
  if (scene.chosen !== null) paintMarks(g, scene, [scene.chosen], 9, 2.5);
  g.restore();
  g.font = "600 13px system-ui, sans-serif";
  if (scene.title) textPlate(g, scene.title, left + side / 2, top + 12, scene.colors);
  paintAxes(g, scene);
  if (scene.points.header.task === "regression" && !scene.line) paintBar(g, scene);
}

/**
 * The network's function of one input.
 * @param {CanvasRenderingContext2D} g
 * @param {MapScene} scene
 * @param {ArrayLike<number>} line
 */
function paintLine(g, { plane, colors }, line) {
  const [from, to] = plane.box;
  g.beginPath();
  for (let i = 0; i < line.length; i++) g.lineTo(...toPixel(plane, from + ((to - from) * i) / (line.length - 1), line[i]));
  [g.lineWidth, g.strokeStyle, g.lineJoin] = [2.5, colors.ink, "round"];
  g.stroke();
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {MapScene} scene
 */
function paintAxes(g, { plane, colors, names }) {
  const { left, top, side, box } = plane;
  g.strokeStyle = colors.line;
  g.lineWidth = 1;
  g.strokeRect(left, top, side, side);
  g.fillStyle = colors.faint;
  g.font = "11px system-ui, sans-serif";
  [g.textAlign, g.textBaseline] = ["center", "top"];
  for (const value of ticks(box[0], box[1])) g.fillText(short(value), toPixel(plane, value, box[2])[0], top + side + 5);
  [g.textAlign, g.textBaseline] = ["right", "middle"];
  for (const value of ticks(box[2], box[3])) g.fillText(short(value), left - 5, toPixel(plane, box[0], value)[1]);
  g.fillStyle = colors.ink;
  g.font = "13px system-ui, sans-serif";
  g.textAlign = "center";
  g.fillText(names[0], left + side / 2, top + side + 26);
  g.save();
  g.translate(8, top + side / 2);
  g.rotate(-Math.PI / 2);
  g.fillText(names[1], 0, 0);
  g.restore();
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {MapScene} scene
 */
function paintBar(g, { plane, colors, range, discrete }) {
  const { left, top, side } = plane;
  const steps = discrete ? 8 : 64;
  const x = left + side + 14;
  for (let i = 0; i < steps; i++) {
    g.fillStyle = css(sequential((i + 0.5) / steps));
    g.fillRect(x, top + side - ((i + 1) * side) / steps, 12, side / steps + 0.5);
  }
  g.fillStyle = colors.faint;
  g.font = "11px system-ui, sans-serif";
  [g.textAlign, g.textBaseline] = ["left", "middle"];
  for (const value of ticks(range[0], range[1])) {
    g.fillText(short(value), x + 17, top + side * (1 - (value - range[0]) / (range[1] - range[0])));
  }
}
