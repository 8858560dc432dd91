/** Validation examples that are pictures, each with its predicted class; wrong ones are framed. */

import { CLASSES, css } from "./colors.js";
import { atlas, grayTable, largestSize } from "./pixels.js";

/** @typedef {import("./types").Message<import("./types").Points>} PointsMessage */
/** @typedef {ReturnType<typeof import("./colors.js").theme>} Colors */

const CELL = { width: 54, height: 66, picture: 44 };
const TALLEST = 500;
const BESIDE = 480; // height of the window that other things need

/**
 * The class of the largest output of each example.
 * @param {{ shape: number[], data: ArrayLike<number> }} outputs
 */
export function predictedClasses({ shape: [count, width], data }) {
  return Array.from({ length: count }, (_, row) => {
    let top = 0;
    for (let c = 1; c < width; c++) if (data[row * width + c] > data[row * width + top]) top = c;
    return top;
  });
}

/**
 * @param {number} width
 * @param {number} count
 */
export function gridSize(width, count) {
  const columns = Math.max(1, Math.floor(width / CELL.width));
  const tall = Math.max(3 * CELL.height, Math.min(TALLEST, window.innerHeight - BESIDE));
  const rows = Math.min(Math.ceil(count / columns), Math.floor(tall / CELL.height));
  return { columns, rows: Math.max(1, rows), height: Math.max(1, rows) * CELL.height };
}

export function pictureGrid() {
  const pictures = atlas();
  /** @type {PointsMessage | null} */
  let known = null;
  let dark = false;

  /**
   * @param {PointsMessage} points
   * @param {Colors} colors
   */
  function prepare(points, colors) {
    if (known === points && dark === colors.dark) return;
    [known, dark] = [points, colors.dark];
    const { data, shape } = points.arrays["validation/x"];
    const [height, width] = points.header.image ?? [1, 1];
    const scale = 255 / largestSize(data);
    pictures.fill(
      Uint8Array.from(data, (value) => value * scale),
      shape[0],
      height,
      width,
      grayTable(colors.dark),
    );
  }
  return {
    /**
     * @param {CanvasRenderingContext2D} g
     * @param {number} width
     * @param {PointsMessage} points
     * @param {number[]} predicted
     * @param {number[]} rows which examples
     * @param {Colors} colors
     */
    draw(g, width, points, predicted, rows, colors) {
      prepare(points, colors);
      const grid = gridSize(width, rows.length);
      g.imageSmoothingEnabled = false;
      g.textAlign = "center";
      rows.slice(0, grid.columns * grid.rows).forEach((row, i) => {
        const [x, y] = [(i % grid.columns) * CELL.width + 5, Math.floor(i / grid.columns) * CELL.height + 4];
        pictures.draw(g, row, [x, y, CELL.picture, CELL.picture]);
        pictureCaption(g, x, y, predicted[row], points.arrays["validation/y"].data[row], points.header.labels, colors);
      });
    },
  };
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {number} x
 * @param {number} y
 * @param {number} predicted
 * @param {number} right
 * @param {string[]} labels
 * @param {Colors} colors
 */
function pictureCaption(g, x, y, predicted, right, labels, colors) {
  const wrong = predicted !== right;
  g.strokeStyle = wrong ? css(CLASSES[4]) : colors.line;
  g.lineWidth = wrong ? 3 : 1;
  g.strokeRect(x, y, CELL.picture, CELL.picture);
  g.fillStyle = wrong ? colors.ink : colors.faint;
  g.font = `${wrong ? "600 " : ""}12px system-ui, sans-serif`;
  g.textBaseline = "alphabetic";
  const text = labels[predicted] ?? `${predicted}`;
  g.fillText(wrong ? `${text} ≠ ${labels[right] ?? right}` : text, x + CELL.picture / 2, y + CELL.picture + 14, CELL.width - 2);
}
