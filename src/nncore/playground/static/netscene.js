/** What a painting of a network needs: its pictures in buffers, its names and its numbers. */

import { theme } from "./colors.js";
import { short } from "./dom.js";
import { inputNames, inputPictures, inputValues } from "./features.js";
import { networkLayout, tallest } from "./netlayout.js";
import { atlas, grayTable, signBytes, signTable } from "./pixels.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Inspect} Inspect */
/** @typedef {import("./types").Message<import("./types").Frame>} FrameMessage */
/** @typedef {import("./netpaint.js").Scene} Scene */

/**
 * Three buffers of pictures: of units, of the first layer's weights, of the inputs.
 * @param {App} app
 * @param {number} run
 */
export function networkPictures(app, run) {
  const [units, weights, seen] = [atlas(), atlas(), atlas()];
  let drawn = "";
  /** @type {unknown} */
  let painted = null;

  /**
   * @param {ReturnType<typeof theme>} colors
   * @param {number} row
   */
  function inputs(colors, row) {
    const image = app.points?.header.image;
    const x = app.points?.arrays["train/x"];
    if (image && x) {
      const picture = x.data.subarray(row * x.shape[1], (row + 1) * x.shape[1]);
      const most = Math.max(...picture) || 1;
      seen.fill(
        Uint8Array.from(picture, (value) => (255 * value) / most),
        1,
        image[0],
        image[1],
        grayTable(colors.dark),
      );
      return;
    }
    const { bytes, count, side } = inputPictures(app);
    if (count) seen.fill(bytes, count, side, side, signTable(colors.ground));
  }
  return {
    /** @param {FrameMessage} frame */
    of(frame) {
      const colors = theme(app.root);
      const [planes, images] = [frame.arrays[`${run}/units`], frame.arrays[`${run}/images`]];
      const row = app.example ?? frame.header.runs[run].batch?.[0] ?? 0;
      const key = [colors.dark, frame.header.start, row, inputNames(app)].join();
      if (painted !== frame || drawn !== key) {
        const table = signTable(colors.ground);
        if (planes) units.fill(planes.data, planes.shape[0], planes.shape[1], planes.shape[2], table);
        if (images) weights.fill(signBytes(images.data), images.shape[0], images.shape[1], images.shape[2], table);
      }
      if (drawn !== key) inputs(colors, row);
      [painted, drawn] = [frame, key];
      const plane = app.points?.header.plane || app.points?.header.image;
      return { units: planes ? units : null, weights: images ? weights : null, seen: plane ? seen : null };
    },
  };
}

/** @type {Record<string, [string, string]>} what the outputs are where the loss contains their activation */
const OUTPUTS = {
  softmax_cross_entropy: ["logits z", "p = softmax(z)"],
  sigmoid_cross_entropy: ["logits z", "p = sigmoid(z)"],
};

/**
 * p of the output units for the chosen example, from their z.
 * @param {string} loss
 * @param {ArrayLike<number> | null} example
 * @param {number} units of the output
 */
function outputShares(loss, example, units) {
  if (!example || !(loss in OUTPUTS)) return null;
  const first = example.length / 4 - units;
  const z = Array.from({ length: units }, (_, i) => example[4 * (first + i)]);
  if (loss === "sigmoid_cross_entropy") return z.map((value) => 1 / (1 + Math.exp(-value)));
  const powers = z.map((value) => Math.exp(value - Math.max(...z)));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/**
 * Two lines below the title of each column.
 * @param {App} app
 * @param {import("./types").FrameLayer[]} layers
 * @param {string} loss
 * @returns {[string, string][]}
 */
function columnTexts(app, layers, loss) {
  /** @type {[string, string][]} */
  const texts = layers.map(({ activation, norm, dropout }) => [
    app.catalog.activations.find(({ name }) => name === activation)?.label ?? activation,
    [norm && (app.catalog.norms.find(({ name }) => name === norm)?.label ?? norm), dropout ? `dropout ${short(dropout)}` : null]
      .filter(Boolean)
      .join(" · "),
  ]);
  texts[texts.length - 1] = OUTPUTS[loss] ?? texts[texts.length - 1];
  const image = app.points?.header.image;
  return [[image ? `${image[0]} × ${image[1]} pixels` : "", ""], ...texts];
}

/**
 * @param {App} app
 * @param {number} run
 * @param {FrameMessage} frame
 * @param {number} width
 * @param {ReturnType<ReturnType<typeof networkPictures>["of"]>} pictures
 * @param {Inspect | null} focus
 * @returns {Scene}
 */
export function networkScene(app, run, frame, width, pictures, focus) {
  const { layers, phase, batch, scales } = frame.header.runs[run];
  const { arrays } = frame;
  const picture = Boolean(app.points?.header.image);
  const chosen = app.example ?? batch?.[0] ?? null;
  const pinned = app.selected?.run === run ? app.selected : null;
  const loss = app.state.runs[run]?.loss ?? "";
  const example = arrays[`${run}/example`]?.data ?? null;
  const tall = tallest(frame.header.runs.length > 1, app.state.lesson !== null);
  const counts = [layers[0].inputs, ...layers.map(({ units }) => units)];
  return {
    layout: networkLayout(width, counts, picture, tall),
    layers,
    scales,
    ...pictures,
    focus: focus ?? pinned,
    pinned,
    texts: columnTexts(app, layers, loss),
    inputs: inputNames(app),
    labels: app.points?.header.labels ?? [],
    theta: arrays[`${run}/theta`].data,
    grad: arrays[`${run}/grad`]?.data ?? null,
    example,
    shares: outputShares(loss, example, layers[layers.length - 1].units),
    given: chosen === null ? null : inputValues(app, chosen),
    phase: batch || phase !== "update" ? phase : null,
    colors: theme(app.root),
  };
}
