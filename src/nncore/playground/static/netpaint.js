/** The painting of a network: small pictures for units, their names, their values in step mode. */

import { CLASSES, css, diverging } from "./colors.js";
import { ROOMY, halfSize, unitY } from "./netlayout.js";
import { paintFocusedLine, paintLines } from "./netlines.js";
import { largestSize, shortened, textPlate } from "./pixels.js";

/** @typedef {import("./types").Inspect} Inspect */
/** @typedef {import("./types").FrameLayer} FrameLayer */
/** @typedef {ReturnType<typeof import("./pixels.js").atlas>} Atlas */
/** @typedef {import("./pixels.js").Numbers} Values */
/**
 * `texts`: below the title of each layer; `example`: rows z, h, δ, 0, of all units; `shares`: its p of the output units.
 * @typedef {{
 *   layout: import("./netlayout.js").Layout, layers: FrameLayer[],
 *   texts: [string, string][], inputs: string[], labels: string[],
 *   theta: Values, grad: Values | null, example: Values | null, shares: number[] | null,
 *   given: number[] | null, phase: string | null,
 *   colors: ReturnType<typeof import("./colors.js").theme>, focus: Inspect | null, pinned: Inspect | null,
 *   scales: number[], units: Atlas | null, weights: Atlas | null, seen: Atlas | null
 * }} Scene
 */

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 */
export function paintNetwork(g, scene) {
  for (let layer = 0; layer < scene.layers.length; layer++) paintLines(g, scene, layer);
  paintFocusedLine(g, scene);
  paintPictures(g, scene);
  paintUnitBorders(g, scene);
  paintHeaders(g, scene);
  paintNames(g, scene);
  if (scene.phase && scene.phase !== "update") paintValues(g, scene);
}

/**
 * Calls with each unit that is shown: its column, its number there, its number among all, its box.
 * @param {Scene} scene
 * @param {(column: number, unit: number, index: number, box: [number, number, number, number]) => void} visit
 */
function eachUnit(scene, visit) {
  let first = 0;
  scene.layout.columns.forEach(({ x, shown }, column) => {
    const half = halfSize(scene.layout, column);
    for (let unit = 0; unit < shown; unit++) {
      visit(column, unit, first + unit, [x - half, unitY(scene.layout, column, unit) - half, 2 * half, 2 * half]);
    }
    first += column ? scene.layers[column - 1].units : 0;
  });
}

/**
 * @param {Scene} scene
 * @param {number} column
 * @param {number} unit
 * @param {number} index
 * @returns {[Atlas | null, number]} where the unit's picture is
 */
function pictureOf(scene, column, unit, index) {
  if (column === 0) return [scene.seen, unit];
  if (column === 1 && scene.weights) return [scene.weights, unit];
  return [scene.units, index];
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 */
function paintPictures(g, scene) {
  eachUnit(scene, (column, unit, index, box) => {
    const [pictures, at] = pictureOf(scene, column, unit, index);
    g.imageSmoothingEnabled = !(column <= 1 && scene.layout.picture);
    if (pictures) return pictures.draw(g, at, box);
    g.fillStyle = css(
      diverging(column ? shareOfLayer(scene, index, index - unit, scene.layers[column - 1].units) : 0, scene.colors.ground),
    );
    g.fillRect(...box);
  });
}

/**
 * h of the example, as a share of the largest of its layer.
 * @param {Scene} scene
 * @param {number} index
 * @param {number} first unit of the layer
 * @param {number} units
 */
function shareOfLayer({ example }, index, first, units) {
  if (!example) return 0;
  const values = Float32Array.from({ length: units }, (_, i) => example[4 * (first + i) + 1]);
  return example[4 * index + 1] / largestSize(values);
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 */
function paintUnitBorders(g, scene) {
  const marks = [scene.pinned, scene.focus].filter((what) => what?.kind === "unit");
  eachUnit(scene, (column, unit, _index, box) => {
    const marked = marks.some((what) => what?.layer === column - 1 && what.unit === unit);
    g.lineWidth = marked ? 3 : 1;
    g.strokeStyle = marked ? scene.colors.accent : scene.colors.faint;
    g.beginPath();
    g.roundRect(...box, 2);
    g.stroke();
    if (column) paintBias(g, scene, column - 1, unit, box);
  });
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 * @param {number} layer
 * @param {number} unit
 * @param {[number, number, number, number]} box
 */
function paintBias(g, scene, layer, unit, box) {
  const at = scene.layers[layer].bias;
  if (at < 0) return;
  const values = (scene.phase === "backward" && scene.grad) || scene.theta;
  const marked = [scene.pinned, scene.focus].some(
    (what) => what?.kind === "weight" && what.layer === layer && what.unit === unit && what.input < 0,
  );
  g.beginPath();
  g.arc(box[0], box[1] + box[3], marked ? 6 : 4, 0, 2 * Math.PI);
  g.fillStyle = css(diverging(Math.tanh(2 * values[at + unit]), scene.colors.ground));
  g.fill();
  g.lineWidth = marked ? 2.5 : 1;
  g.strokeStyle = marked ? scene.colors.accent : scene.colors.faint;
  g.stroke();
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 */
function paintHeaders(g, scene) {
  const { layout, colors, layers } = scene;
  const room = Math.min(layout.step - 4, 160);
  g.textBaseline = "alphabetic";
  layout.columns.forEach(({ x }, column) => {
    const marked = [scene.pinned, scene.focus].some((what) => what?.kind === "layer" && what.layer === column - 1);
    const [below, small] = scene.texts[column];
    g.textAlign = "center";
    g.fillStyle = marked ? colors.accent : colors.ink;
    g.font = "600 13px system-ui, sans-serif";
    g.fillText(headerTitle(layout, layers, column), x, 16);
    g.fillStyle = colors.faint;
    g.font = "12px system-ui, sans-serif";
    g.fillText(shortened(g, below, room), x, 32);
    g.font = "11px system-ui, sans-serif";
    g.fillText(shortened(g, small, room), x, 46);
    if (column && column < layers.length && layout.step >= ROOMY) g.fillText(`${layers[column - 1].units}`, x, 62);
  });
}

/**
 * @param {Scene["layout"]} layout
 * @param {FrameLayer[]} layers
 * @param {number} column
 */
function headerTitle(layout, layers, column) {
  const narrow = layout.step < 96;
  if (column === 0) return narrow ? "In" : "Input";
  if (column === layers.length) return narrow ? "Out" : "Output";
  return narrow ? `${column}` : `Layer ${column}`;
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 */
function paintNames(g, scene) {
  const { layout, colors } = scene;
  g.font = "12px system-ui, sans-serif";
  g.textBaseline = "middle";
  g.fillStyle = colors.ink;
  g.textAlign = "right";
  const left = layout.columns[0].x - halfSize(layout, 0) - 6;
  if (!layout.picture) {
    for (let i = 0; i < layout.columns[0].shown; i++)
      g.fillText(shortened(g, scene.inputs[i] ?? "", left - 2), left, unitY(layout, 0, i));
  }
  g.textAlign = "left";
  const last = layout.columns.length - 1;
  const right = layout.columns[last].x + halfSize(layout, last) + 8;
  for (let i = 0; i < layout.columns[last].shown; i++) paintClass(g, scene, i, right, unitY(layout, last, i));
  g.fillStyle = colors.faint;
  g.textAlign = "center";
  layout.columns.forEach(({ x, units, shown }, column) => {
    if (shown < units) g.fillText(`+ ${units - shown} more`, x, unitY(layout, column, shown) - 2, layout.step - 4);
  });
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 * @param {number} unit
 * @param {number} x
 * @param {number} y
 */
function paintClass(g, scene, unit, x, y) {
  const many = scene.layers[scene.layers.length - 1].units > 1;
  const name = scene.labels[many ? unit : 1]; // a single output is the probability of class 1
  if (name === undefined) return;
  if (many) {
    g.fillStyle = css(CLASSES[unit % CLASSES.length]);
    g.fillRect(x, y - 4, 8, 8);
  }
  g.fillStyle = scene.colors.ink;
  g.fillText(shortened(g, name, scene.layout.width - x - 14), x + (many ? 12 : 0), y);
}

/**
 * In step mode: z and h on the way forward, δ on the way back.
 * @param {CanvasRenderingContext2D} g
 * @param {Scene} scene
 */
function paintValues(g, scene) {
  const { example, layout } = scene;
  g.font = `${layout.size < 30 ? 9 : 11}px system-ui, sans-serif`;
  eachUnit(scene, (column, unit, index, [left, top, side]) => {
    const [x, y] = [left + side / 2, top + side / 2];
    if (column === 0)
      return scene.given && !layout.picture ? textPlate(g, briefValue(scene.given[unit]), x, y, scene.colors) : undefined;
    if (!example) return;
    const [z, out, delta] = example.subarray(4 * index, 4 * index + 3);
    if (scene.phase === "backward") textPlate(g, (layout.size < 30 ? "" : "δ ") + briefValue(delta), x, y, scene.colors);
    else if (layout.size < 32) textPlate(g, briefValue(out), x, y, scene.colors);
    else {
      const share = column === scene.layers.length ? scene.shares?.[unit] : undefined;
      textPlate(g, `z ${briefValue(z)}`, x, y - 7, scene.colors);
      textPlate(g, share === undefined ? `h ${briefValue(out)}` : `p ${briefValue(share)}`, x, y + 7, scene.colors);
    }
  });
}

/**
 * As short as it fits in a unit.
 * @param {number} value
 */
function briefValue(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && size < 0.005 ? value.toExponential(0) : value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
  return text.replaceAll("-", "−");
}
