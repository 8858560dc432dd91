/** A canvas that is sharp on every screen, and the few drawings that several views share. */

import { h } from "./dom.js";

/**
 * A canvas that fills its element's width; `draw` gets a context in CSS pixels.
 * @typedef {(g: CanvasRenderingContext2D, width: number, height: number) => void} Paint
 * @typedef {{ el: HTMLCanvasElement, size(): [number, number], draw(paint: Paint): void }} Sheet
 */

/**
 * @param {string} label what it shows, for those who do not see it
 * @param {string} [kind] a class
 * @returns {Sheet}
 */
export function sheet(label, kind = "") {
  const el = /** @type {HTMLCanvasElement} */ (h("canvas", { role: "img", "aria-label": label, class: kind }));
  /** @returns {[number, number]} */
  const size = () => [el.clientWidth, el.clientHeight];
  return {
    el,
    size,
    draw(paint) {
      const [width, height] = size();
      if (!width || !height) return; // not shown
      const ratio = window.devicePixelRatio || 1;
      const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
      if (el.width !== pixels[0] || el.height !== pixels[1]) [el.width, el.height] = pixels;
      const g = /** @type {CanvasRenderingContext2D} */ (el.getContext("2d"));
      g.setTransform(ratio, 0, 0, ratio, 0, 0);
      g.clearRect(0, 0, width, height);
      paint(g, width, height);
    },
  };
}

const scratch = typeof document === "undefined" ? null : document.createElement("canvas");

/**
 * An image of colors, stretched over a rectangle.
 * @param {CanvasRenderingContext2D} g
 * @param {Uint8ClampedArray} pixels red, green, blue, alpha
 * @param {number} columns
 * @param {number} rows
 * @param {[number, number, number, number]} box left, top, width, height
 * @param {boolean} [smooth]
 */
export function image(g, pixels, columns, rows, box, smooth = true) {
  if (!scratch) return;
  [scratch.width, scratch.height] = [columns, rows];
  const small = /** @type {CanvasRenderingContext2D} */ (scratch.getContext("2d"));
  small.putImageData(new ImageData(/** @type {any} */ (pixels), columns, rows), 0, 0);
  g.imageSmoothingEnabled = smooth;
  g.drawImage(scratch, ...box);
}

/**
 * Round numbers from a to b, about `count` of them.
 * @param {number} from
 * @param {number} to
 * @param {number} [count]
 */
export function ticks(from, to, count = 5) {
  const raw = (to - from) / count;
  if (!(raw > 0) || !Number.isFinite(raw)) return [];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= raw) || 10);
  const found = [];
  for (let value = Math.ceil(from / step) * step; value <= to + step / 1e6; value += step)
    found.push(Math.abs(value) < step / 1e6 ? 0 : value);
  return found;
}
