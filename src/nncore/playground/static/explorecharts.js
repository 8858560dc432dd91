/** What the charts of these pages share: axes, lines, labels that keep apart. */

import { ticks } from "./canvas.js";
import { short } from "./dom.js";

/**
 * 10 to a whole power.
 * @param {number} exponent
 */
export function powerOfTen(exponent) {
  const digits = [...String(exponent)].map((digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]));
  return `10${digits.join("")}`;
}

/**
 * Grid lines at whole powers of ten, where y is an exponent: where, and what it says there.
 * @param {[number, number]} range
 * @returns {[number, string][]}
 */
export function powerRows(range) {
  return ticks(range[0], range[1], 5)
    .filter(Number.isInteger)
    .map((exponent) => [exponent, powerOfTen(exponent)]);
}

/**
 * The axes of a chart; returns where its numbers lie.
 * @param {CanvasRenderingContext2D} g
 * @param {{ box: [number, number, number, number], x: [number, number], y: [number, number], xLabel: string, yLabel: string,
 *   ink: { faint: string, line: string }, rows?: [number, string][] }} chart
 *   box: left, top, width, height; rows: the grid lines
 */
export function exploreAxes(g, { box, x, y, xLabel, yLabel, ink, rows }) {
  const [left, top, width, height] = box;
  const place = {
    /** @param {number} value */
    x: (value) => left + ((value - x[0]) / (x[1] - x[0])) * width,
    /** @param {number} value */
    y: (value) => top + height - ((value - y[0]) / (y[1] - y[0])) * height,
  };
  g.strokeStyle = ink.line;
  g.fillStyle = ink.faint;
  g.lineWidth = 1;
  g.font = "12px system-ui, sans-serif";
  g.textBaseline = "middle";
  g.textAlign = "right";
  for (const [row, text] of rows ?? ticks(y[0], y[1], 5).map((tick) => /** @type {[number, string]} */ ([tick, short(tick)]))) {
    g.beginPath();
    g.moveTo(left, place.y(row));
    g.lineTo(left + width, place.y(row));
    g.stroke();
    g.fillText(text, left - 6, place.y(row));
  }
  g.textAlign = "center";
  g.textBaseline = "top";
  for (const column of ticks(x[0], x[1], Math.max(2, Math.min(8, Math.floor(width / 70))))) {
    if (Number.isInteger(column)) g.fillText(short(column), place.x(column), top + height + 5);
  }
  g.fillText(xLabel, left + width / 2, top + height + 20);
  g.textAlign = "left";
  g.textBaseline = "bottom";
  g.fillText(yLabel, Math.max(4, left - 40), top - 6);
  return place;
}

/**
 * Positions that keep a distance, each near the one it wants.
 * @param {number[]} wanted
 * @param {number} gap
 * @param {number} low
 * @param {number} high
 */
export function keptApart(wanted, gap, low, high) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const places = [...wanted];
  let least = low;
  for (const i of order) {
    places[i] = Math.max(wanted[i], least);
    least = places[i] + gap;
  }
  let most = high;
  for (const i of order.reverse()) {
    places[i] = Math.min(places[i], most);
    most = places[i] - gap;
  }
  return places;
}

/**
 * A polyline; numbers that are not finite leave a gap.
 * @param {CanvasRenderingContext2D} g
 * @param {number[][]} points
 */
export function explorePath(g, points) {
  let drawing = false;
  g.beginPath();
  for (const [x, y] of points) {
    const there = Number.isFinite(x) && Number.isFinite(y);
    if (there) drawing ? g.lineTo(x, y) : g.moveTo(x, y);
    drawing = there;
  }
  g.stroke();
}
