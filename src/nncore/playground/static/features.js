/** What a network sees of a point of the plane: names, values and pictures of its inputs. */

import { signBytes } from "./pixels.js";

/** @typedef {import("./types").App} App */

/** @type {Record<string, (x1: number, x2: number) => number>} */
const FORMULAS = {
  x1: (x1) => x1,
  x2: (_x1, x2) => x2,
  x1_squared: (x1) => x1 * x1,
  x2_squared: (_x1, x2) => x2 * x2,
  product: (x1, x2) => x1 * x2,
  sin_x1: (x1) => Math.sin(Math.PI * x1),
  sin_x2: (_x1, x2) => Math.sin(Math.PI * x2),
};
const SIDE = 24; // pixels of a picture

/**
 * The chosen features, of data in the plane.
 * @param {App} app
 */
function chosenFeatures(app) {
  if (!app.points?.header.plane) return [];
  if (app.points.header.line) return ["x1"];
  return app.state.data.features.length ? app.state.data.features : ["x1", "x2"];
}

/**
 * @param {App} app
 * @returns {string[]}
 */
export function inputNames(app) {
  const features = app.state.data.features;
  const { plane = false, line = false, inputs = [] } = app.points?.header ?? {};
  if (line) return inputs.map((name) => (name === "x1" ? "x₁" : name));
  if (!plane || !features.length) return inputs;
  return features.map((name) => app.catalog.features.find((feature) => feature.name === name)?.label ?? name);
}

/**
 * What the network sees of a training example.
 * @param {App} app
 * @param {number} row
 * @returns {number[] | null}
 */
export function inputValues(app, row) {
  const x = app.points?.arrays["train/x"];
  if (!x || row >= x.shape[0]) return null;
  const values = [...x.data.subarray(row * x.shape[1], (row + 1) * x.shape[1])];
  const features = chosenFeatures(app);
  return features.length ? features.map((name) => FORMULAS[name]?.(values[0], values[1]) ?? NaN) : values;
}

/**
 * One picture over the plane for each input, rows from the top; none where data are not in the plane.
 * @param {App} app
 */
export function inputPictures(app) {
  const features = chosenFeatures(app).filter((name) => name in FORMULAS);
  const [left, right, bottom, top] = app.points?.header.box ?? [-1, 1, -1, 1];
  const bytes = new Int8Array(features.length * SIDE * SIDE);
  features.forEach((name, i) => {
    const values = Float32Array.from({ length: SIDE * SIDE }, (_, at) => {
      const [across, down] = [((at % SIDE) + 0.5) / SIDE, (Math.floor(at / SIDE) + 0.5) / SIDE];
      return FORMULAS[name](left + across * (right - left), top + down * (bottom - top));
    });
    bytes.set(signBytes(values), i * SIDE * SIDE);
  });
  return { bytes, count: features.length, side: SIDE };
}
