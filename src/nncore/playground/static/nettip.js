/** What a unit, a weight or a layer is, in a few lines of text. */

import { grouped, short } from "./dom.js";

/** @typedef {import("./types").Inspect} Inspect */
/** @typedef {import("./netpaint.js").Scene} Scene */

/**
 * The title, and what is below it.
 * @param {Scene} scene
 * @param {Inspect} what
 * @returns {string[]}
 */
export function described(scene, what) {
  const layer = scene.layers[what.layer];
  if (!layer) return [];
  if (what.kind === "layer") return describedLayer(scene, what.layer);
  return what.kind === "weight" ? describedWeight(scene, what) : describedUnit(scene, what);
}

/**
 * @param {Scene} scene
 * @param {number} layer
 */
function layerTitle(scene, layer) {
  return layer === scene.layers.length - 1 ? "Output" : `Layer ${layer + 1}`;
}

/**
 * @param {Scene} scene
 * @param {number} at
 */
function describedLayer(scene, at) {
  const layer = scene.layers[at];
  const [weight, gradient] = layer.norms;
  return [
    layerTitle(scene, at),
    `${grouped(layer.units)} units, ${grouped(layer.units * (layer.inputs + (layer.bias < 0 ? 0 : 1)))} weights and biases`,
    `‖W‖ = ${short(weight)}, ‖∂l/∂W‖ = ${short(gradient)}`,
  ];
}

/**
 * @param {Scene} scene
 * @param {Inspect} what
 */
function describedWeight(scene, { layer, unit, input }) {
  const { weight, bias, inputs } = scene.layers[layer];
  const at = input < 0 ? bias + unit : weight + unit * inputs + input;
  const source = layer === 0 ? (scene.inputs[input] ?? `input ${input + 1}`) : `unit ${input + 1} of layer ${layer}`;
  const gradient = scene.grad ? [`∂l/∂${input < 0 ? "b" : "w"} = ${short(scene.grad[at])}`] : [];
  return [
    `${input < 0 ? "b" : "w"} = ${short(scene.theta[at])}`,
    `${input < 0 ? "bias of" : `from ${source} to`} unit ${unit + 1}, ${layerTitle(scene, layer)}`,
    ...gradient,
  ];
}

/**
 * @param {Scene} scene
 * @param {Inspect} what
 */
function describedUnit(scene, { layer, unit }) {
  const title = `${layerTitle(scene, layer)}, unit ${unit + 1}`;
  const { bias } = scene.layers[layer];
  const lines = bias < 0 ? [] : [`bias ${short(scene.theta[bias + unit])}`];
  const first = scene.layers.slice(0, layer).reduce((sum, { units }) => sum + units, unit);
  if (scene.scales?.[first]) lines.push(`colors: h from −${short(scene.scales[first])} to ${short(scene.scales[first])}`);
  if (!scene.example) return [title, ...lines];
  const [z, out, delta] = scene.example.subarray(4 * first, 4 * first + 3);
  const share = layer === scene.layers.length - 1 ? scene.shares?.[unit] : undefined;
  const after = share === undefined ? `h = ${short(out)}` : `p = ${short(share)}`;
  return [title, ...lines, `example: z = ${short(z)}, ${after}${Number.isNaN(delta) ? "" : `, δ = ${short(delta)}`}`];
}
