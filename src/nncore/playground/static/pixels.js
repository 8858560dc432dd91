/** Pictures from arrays: colors looked up in tables, many small pictures on one canvas; text that fits. */

import { css, diverging, sequential } from "./colors.js";

/** @typedef {import("./colors.js").RGB} RGB */
/** @typedef {Float32Array | Int32Array | Int8Array | Uint8Array} Numbers */

/**
 * 256 colors as the 32 bits of a pixel.
 * @param {(byte: number) => RGB} color
 */
export function colorTable(color) {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    const [red, green, blue] = color(byte);
    return (255 << 24) | (blue << 16) | (green << 8) | red;
  });
}

/**
 * For int8: −127 is blue, 0 the ground, 127 orange. A byte of 128 and more is a negative number.
 * @param {RGB} ground
 */
export function signTable(ground) {
  return colorTable((byte) => diverging((byte < 128 ? byte : byte - 256) / 127, ground));
}

export function rampTable() {
  return colorTable((byte) => sequential(byte / 255));
}

/**
 * For gray pictures: from the ground to the ink.
 * @param {boolean} dark
 */
export function grayTable(dark) {
  return colorTable((byte) => {
    const level = dark ? 30 + 0.85 * byte : 250 - 0.9 * byte;
    return [level, level, level];
  });
}

/**
 * The largest absolute value, never 0.
 * @param {Numbers} values
 */
export function largestSize(values) {
  let largest = 1e-12;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]));
  return largest;
}

/**
 * Bytes for a table: −127 … 127 times the largest.
 * @param {Numbers} values
 */
export function signBytes(values) {
  if (values instanceof Int8Array) return values;
  const largest = largestSize(values);
  return Int8Array.from(values, (value) => Math.round((127 * value) / largest));
}

/**
 * A canvas that is not in the page.
 * @param {number} width
 * @param {number} height
 */
export function offscreen(width, height) {
  const el = document.createElement("canvas");
  [el.width, el.height] = [Math.max(1, width), Math.max(1, height)];
  return { el, g: /** @type {CanvasRenderingContext2D} */ (el.getContext("2d")) };
}

/** Equal pictures, one below the other on one canvas, whose buffer is reused from frame to frame. */
export function atlas() {
  const { el, g } = offscreen(1, 1);
  /** @type {ImageData | null} */
  let picture = null;
  let [rows, columns] = [0, 0];
  return {
    /**
     * @param {Numbers} bytes (count, height, width)
     * @param {number} count
     * @param {number} height
     * @param {number} width
     * @param {Uint32Array} table
     */
    fill(bytes, count, height, width, table) {
      [rows, columns] = [height, width];
      if (!picture || picture.width !== width || picture.height !== count * height) {
        [el.width, el.height] = [width, count * height];
        picture = g.createImageData(width, count * height);
      }
      const pixels = new Uint32Array(picture.data.buffer);
      for (let i = 0; i < pixels.length; i++) pixels[i] = table[bytes[i] & 255];
      g.putImageData(picture, 0, 0);
    },
    /**
     * @param {CanvasRenderingContext2D} target
     * @param {number} index
     * @param {[number, number, number, number]} box left, top, width, height
     */
    draw(target, index, box) {
      target.drawImage(el, 0, index * rows, columns, rows, ...box);
    },
  };
}

/**
 * Text on a plate of the ground's color, readable over any picture.
 * @param {CanvasRenderingContext2D} g
 * @param {string} text
 * @param {number} x center
 * @param {number} y middle
 * @param {{ ink: string, ground: RGB }} colors
 */
export function textPlate(g, text, x, y, colors) {
  const width = g.measureText(text).width + 6;
  g.fillStyle = css(colors.ground, 0.88);
  g.fillRect(x - width / 2, y - 7, width, 14);
  g.fillStyle = colors.ink;
  g.textAlign = "center";
  g.textBaseline = "middle";
  g.fillText(text, x, y + 0.5);
}

/**
 * As much of a text as fits.
 * @param {CanvasRenderingContext2D} g
 * @param {string} text
 * @param {number} room
 */
export function shortened(g, text, room) {
  let end = text.length;
  while (end > 1 && g.measureText(text.slice(0, end)).width > room) end--;
  return end < text.length ? `${text.slice(0, end - 1)}…` : text;
}
