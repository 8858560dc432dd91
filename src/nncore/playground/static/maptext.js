/** What lies under a place of the map, in words. */

import { short } from "./dom.js";
import { pixelShares } from "./mapplane.js";
import { examplePixel } from "./mappoints.js";

/** @typedef {import("./mapplane.js").MapScene} MapScene */

/**
 * The example next to a place.
 * @param {MapScene} scene
 * @param {"train" | "validation"} part
 * @param {number} x
 * @param {number} y
 */
export function nearestExample(scene, part, x, y) {
  const places = scene.points.arrays[`${part}/x`];
  let [found, closest] = [-1, 10];
  for (let row = 0; row < places.shape[0]; row++) {
    const [left, top] = examplePixel(scene, places, row);
    const distance = Math.hypot(left - x, top - y);
    if (distance < closest) [found, closest] = [row, distance];
  }
  return found < 0 ? null : found;
}

/**
 * What the network says at a place, in words.
 * @param {MapScene} scene
 * @param {{ shape: number[], data: ArrayLike<number> }} map
 * @param {number} x
 * @param {number} y
 * @returns {string[]}
 */
export function placeText(scene, map, x, y) {
  const { left, top, side, box } = scene.plane;
  const [across, down] = [(x - left) / side, (y - top) / side];
  if (across < 0 || across >= 1 || down < 0 || down >= 1) return [];
  const [classes, rows, columns] = map.shape;
  const shares = pixelShares(
    map.data,
    classes,
    rows * columns,
    Math.floor(down * rows) * columns + Math.floor(across * columns),
  );
  const [x1, x2] = [box[0] + across * (box[1] - box[0]), box[3] - down * (box[3] - box[2])];
  const place = `${scene.names[0]} = ${x1.toFixed(2)}, ${scene.names[1]} = ${x2.toFixed(2)}`.replaceAll("-", "−");
  const { task, labels } = scene.points.header;
  if (task === "regression") {
    const output = scene.range[0] + shares[shares.length - 1] * (scene.range[1] - scene.range[0]);
    return [place, `output ${short(output)}`, ...exampleText(scene, x, y, (target) => `error ${short(output - target)}`)];
  }
  const order = shares
    .map((_, c) => c)
    .sort((a, b) => shares[b] - shares[a])
    .slice(0, 3);
  const said = order.map((c) => `P(${labels[c] ?? c}) = ${shares[c].toFixed(2)}`);
  const loss = (/** @type {number} */ target) => `−ln P = ${shares[target] > 0 ? (-Math.log(shares[target])).toFixed(2) : "∞"}`;
  return [place, ...said, ...exampleText(scene, x, y, loss)];
}

/**
 * @param {MapScene} scene
 * @param {number} x
 * @param {number} y
 * @param {(target: number) => string} judge
 */
function exampleText(scene, x, y, judge) {
  for (const part of /** @type {const} */ (["train", "validation"])) {
    const row = part === "train" || scene.validation ? nearestExample(scene, part, x, y) : null;
    if (row === null) continue;
    const target = scene.points.arrays[`${part}/y`].data[row];
    const name =
      scene.points.header.task === "regression" ? short(target) : `class ${scene.points.header.labels[target] ?? target}`;
    return [`${part === "train" ? "training" : "validation"} example ${row + 1}: ${name}, ${judge(target)}`];
  }
  return [];
}
