/** The lines of a network: a weight's sign is the color, its size the width. */

import { css, diverging } from "./colors.js";
import { halfSize, unitY } from "./netlayout.js";
import { largestSize } from "./pixels.js";

/** @typedef {import("./types").Inspect} Inspect */
/** @typedef {import("./netpaint.js").Scene} Scene */

const LEVELS = 8; // of width and strength of a line: one stroke draws all lines of a level

/**
 * @param {Inspect | null} focus
 * @param {number} layer
 * @param {number} unit
 * @param {number} input
 */
function touchesFocus(focus, layer, unit, input) {
  if (!focus || focus.kind === "weight") return true;
  if (focus.kind === "layer") return focus.layer === layer;
  return (focus.layer === layer && focus.unit === unit) || (focus.layer === layer - 1 && focus.unit === input);
}

/**
 * @param {Scene} scene
 * @param {number} layer
 */
function shownWeights(scene, layer) {
  const values = (scene.phase === "backward" && scene.grad) || scene.theta;
  const { weight, units, inputs } = scene.layers[layer];
  return values.subarray(weight, weight + units * inputs);
}

/**
 * @param {Path2D} path
 * @param {Scene["layout"]} layout
 * @param {number} column of the right end
 * @param {number} unit
 * @param {number} input
 */
function addLine(path, layout, column, unit, input) {
  const left = layout.columns[column - 1].x + halfSize(layout, column - 1);
  const right = layout.columns[column].x - halfSize(layout, column);
  const [start, end] = [unitY(layout, column - 1, input), unitY(layout, column, unit)];
  path.moveTo(left, start);
  path.bezierCurveTo((left + right) / 2, start, (left + right) / 2, end, right, end);
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 * @param {number} layer
 */
export function paintLines(g, scene, layer) {
  const { layout, focus } = scene;
  if (layer === 0 && layout.picture) return paintPictureLines(g, scene);
  const weights = shownWeights(scene, layer);
  const largest = largestSize(weights);
  /** @type {Map<number, Path2D>} by level and sign, those out of focus first */
  const paths = new Map();
  for (let unit = 0; unit < layout.columns[layer + 1].shown; unit++) {
    for (let input = 0; input < layout.columns[layer].shown; input++) {
      const share = weights[unit * scene.layers[layer].inputs + input] / largest;
      const level = Math.min(LEVELS - 1, Math.floor(Math.abs(share) * LEVELS));
      const key = (touchesFocus(focus, layer, unit, input) ? 100 : 0) + 3 * level + 1 + Math.sign(share);
      if (!paths.has(key)) paths.set(key, new Path2D());
      addLine(/** @type {Path2D} */ (paths.get(key)), layout, layer + 1, unit, input);
    }
  }
  for (const key of [...paths.keys()].sort((a, b) => a - b)) strokeLevel(g, scene, key, /** @type {Path2D} */ (paths.get(key)));
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 * @param {number} key
 * @param {Path2D} path
 */
function strokeLevel(g, scene, key, path) {
  const share = (Math.floor((key % 100) / 3) + 0.5) / LEVELS;
  const sign = ((key % 100) % 3) - 1;
  const strength = (0.1 + 0.85 * share) * (key < 100 ? 0.18 : 1);
  g.strokeStyle = sign ? css(diverging(sign, scene.colors.ground), strength) : scene.colors.line;
  g.lineWidth = 0.7 + 4.6 * share * Math.min(1, scene.layout.pitch / 40);
  g.stroke(path);
}

/**
 * From a picture: one line to each unit, as its weights are in the unit's own picture.
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 */
function paintPictureLines(g, scene) {
  const path = new Path2D();
  for (let unit = 0; unit < scene.layout.columns[1].shown; unit++) addLine(path, scene.layout, 1, unit, 0);
  g.strokeStyle = scene.colors.faint;
  g.lineWidth = 1;
  g.globalAlpha = 0.5;
  g.stroke(path);
  g.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 */
export function paintFocusedLine(g, scene) {
  for (const what of [scene.pinned, scene.focus]) {
    if (what?.kind !== "weight" || what.input < 0 || (what.layer === 0 && scene.layout.picture)) continue;
    if (what.input >= scene.layout.columns[what.layer].shown || what.unit >= scene.layout.columns[what.layer + 1].shown)
      continue;
    const path = new Path2D();
    addLine(path, scene.layout, what.layer + 1, what.unit, what.input);
    const weight = shownWeights(scene, what.layer)[what.unit * scene.layers[what.layer].inputs + what.input];
    [g.lineWidth, g.strokeStyle] = [8, scene.colors.accent];
    g.stroke(path);
    [g.lineWidth, g.strokeStyle] = [4, css(diverging(weight < 0 ? -1 : 1, scene.colors.ground))];
    g.stroke(path);
  }
}
