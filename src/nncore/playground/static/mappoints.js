/** The examples on a decision map. */

import { CLASSES, css, sequential } from "./colors.js";
import { offscreen } from "./pixels.js";

/** @typedef {import("./colors.js").RGB} RGB */
/** @typedef {import("./mapplane.js").MapScene} MapScene */
/** @typedef {MapScene["points"]} PointsMessage */

/**
 * @param {MapScene["plane"]} plane
 * @param {number} x1
 * @param {number} x2
 * @returns {[number, number]}
 */
export function toPixel({ left, top, side, box }, x1, x2) {
  return [left + (side * (x1 - box[0])) / (box[1] - box[0]), top + (side * (box[3] - x2)) / (box[3] - box[2])];
}

/**
 * @param {MapScene} scene
 * @param {number} y a class or a number
 * @returns {RGB}
 */
function exampleColor({ points, range }, y) {
  if (points.header.task === "classification") return CLASSES[y % CLASSES.length];
  return sequential((y - range[0]) / (range[1] - range[0]));
}

/** All examples, painted once and kept until something about them changes. */
export function mapExamples() {
  const { el, g } = offscreen(1, 1);
  /** @type {PointsMessage | null} */
  let known = null;
  let drawn = "";
  return {
    /**
     * @param {CanvasRenderingContext2D} target
     * @param {MapScene} scene
     */
    draw(target, scene) {
      const { plane, points, colors, validation, range, axes } = scene;
      const ratio = window.devicePixelRatio || 1;
      const key = [plane.side, colors.dark, validation, range, axes, ratio].join();
      const side = plane.left + plane.side + 10;
      if (key !== drawn || known !== points) {
        [el.width, el.height] = [side * ratio, side * ratio];
        g.setTransform(ratio, 0, 0, ratio, 0, 0);
        paintExamples(g, scene, "train");
        if (validation) paintExamples(g, scene, "validation");
      }
      [drawn, known] = [key, points];
      target.drawImage(el, 0, 0, side, side);
    },
  };
}

/**
 * Training examples are disks, those of validation hollow diamonds.
 * @param {CanvasRenderingContext2D} g
 * @param {MapScene} scene
 * @param {"train" | "validation"} part
 */
function paintExamples(g, scene, part) {
  const [x, y] = [scene.points.arrays[`${part}/x`], scene.points.arrays[`${part}/y`]];
  const radius = y.data.length > 400 ? 3.2 : 4.2;
  const rim = scene.colors.dark ? "rgba(240,240,240,0.9)" : "rgba(255,255,255,0.95)";
  for (let i = 0; i < y.data.length; i++) {
    const [left, top] = examplePixel(scene, x, i);
    const color = css(exampleColor(scene, y.data[i]));
    g.beginPath();
    if (part === "train") g.arc(left, top, radius, 0, 2 * Math.PI);
    else diamond(g, left, top, radius + 0.5);
    g.lineWidth = part === "train" ? 2.4 : 4.5;
    g.strokeStyle = rim;
    g.stroke();
    if (part === "train") g.fillStyle = color;
    else [g.lineWidth, g.strokeStyle] = [2, color];
    if (part === "train") g.fill();
    else g.stroke();
  }
}

/**
 * @param {MapScene} scene
 * @param {{ shape: number[], data: ArrayLike<number> }} x
 * @param {number} row
 */
export function examplePixel(scene, x, row) {
  const at = row * x.shape[1];
  return toPixel(scene.plane, x.data[at + scene.axes[0]], x.data[at + scene.axes[1]] ?? 0);
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {number} x
 * @param {number} y
 * @param {number} r
 */
function diamond(g, x, y, r) {
  g.moveTo(x, y - r);
  g.lineTo(x + r, y);
  g.lineTo(x, y + r);
  g.lineTo(x - r, y);
  g.closePath();
}

/**
 * Rings around training examples.
 * @param {CanvasRenderingContext2D} g
 * @param {MapScene} scene
 * @param {number[]} rows
 * @param {number} radius
 * @param {number} width
 */
export function paintMarks(g, scene, rows, radius, width) {
  const x = scene.points.arrays["train/x"];
  for (const row of rows.filter((row) => row < x.shape[0])) {
    const [left, top] = examplePixel(scene, x, row);
    g.beginPath();
    g.arc(left, top, radius, 0, 2 * Math.PI);
    [g.lineWidth, g.strokeStyle] = [2 * width, css(scene.colors.ground)];
    g.stroke();
    [g.lineWidth, g.strokeStyle] = [width, scene.colors.ink];
    g.stroke();
  }
}
