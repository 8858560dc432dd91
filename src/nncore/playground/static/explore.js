/** What the pages beside the network share: one request at a time, sliders, axes, labels that keep apart. */

import { ticks } from "./canvas.js";
import { h, short } from "./dom.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Request} Request */

/**
 * Ask while at most one request is under way: of those that come meanwhile only the newest is sent.
 * @template T
 * @param {App} app
 * @param {(reply: import("./types").Message<T>) => void} done
 * @returns {(request: Request) => Promise<void>}
 */
export function newestOnly(app, done) {
  let busy = false;
  /** @type {Request | null} */
  let waiting = null;
  /** @type {(request: Request) => Promise<void>} */
  async function ask(request) {
    if (busy) {
      waiting = request;
      return;
    }
    busy = true;
    try {
      done(await app.ask(request));
    } catch (error) {
      app.say(error instanceof Error ? error.message : String(error));
    } finally {
      busy = false;
    }
    const next = waiting;
    waiting = null;
    if (next) await ask(next);
  }
  return ask;
}

const SLIDER_PARTS = 1000; // positions of a slider

/**
 * A slider with its number.
 * @param {{ label: string, minimum: number, maximum: number, value: number, log?: boolean, whole?: boolean, title?: string,
 *   input: (value: number) => void, done: (value: number) => void }} options `input` while it moves, `done` when it is let go
 */
export function exploreSlider({ label, minimum, maximum, value, log = false, whole = false, title = "", input, done }) {
  const [low, high] = log ? [Math.log(minimum), Math.log(maximum)] : [minimum, maximum];
  const range = /** @type {HTMLInputElement} */ (
    h("input", { type: "range", min: "0", max: String(SLIDER_PARTS), "aria-label": title || label })
  );
  const number = h("output", { class: "explore-number" });
  const read = () => {
    const at = low + (Number(range.value) / SLIDER_PARTS) * (high - low);
    const raw = log ? Math.exp(at) : at;
    return whole ? Math.round(raw) : Number(raw.toPrecision(3));
  };
  /** @param {number} shown */
  const tell = (shown) => {
    number.textContent = short(shown);
    range.setAttribute("aria-valuetext", short(shown));
  };
  /** @param {number} next */
  const set = (next) => {
    range.value = String(Math.round((SLIDER_PARTS * ((log ? Math.log(Math.max(next, minimum)) : next) - low)) / (high - low)));
    tell(next);
  };
  range.addEventListener("input", () => (tell(read()), input(read())));
  range.addEventListener("change", () => done(read()));
  set(value);
  return { el: h("label.explore-slider", { title }, h("span", {}, label), range, number), set };
}

/**
 * A choice from a list.
 * @param {string} label
 * @param {{ name: string, label: string }[]} choices
 * @param {(name: string) => void} done
 */
export function exploreSelect(label, choices, done) {
  const options = choices.map((choice) => h("option", { value: choice.name }, choice.label));
  const select = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": label }, ...options));
  select.addEventListener("change", () => done(select.value));
  return {
    el: h("label.explore-select", {}, h("span", {}, label), select),
    select,
  };
}

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
  return ticks(range[0], range[1], 5).filter(Number.isInteger).map((exponent) => [exponent, powerOfTen(exponent)]);
}

/**
 * The axes of a chart; returns where its numbers lie.
 * @param {CanvasRenderingContext2D} g
 * @param {{ box: [number, number, number, number], x: [number, number], y: [number, number], xLabel: string, yLabel: string,
 *   ink: { faint: string, line: string }, rows?: [number, string][] }} chart box: left, top, width, height; rows: the grid lines
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

/**
 * Position in a canvas, from 0 to 1 on both axes, y upwards.
 * @param {PointerEvent} event
 * @param {HTMLElement} el
 * @returns {[number, number]}
 */
export function pointedAt(event, el) {
  const box = el.getBoundingClientRect();
  const inside = (/** @type {number} */ share) => Math.max(0, Math.min(1, share));
  return [inside((event.clientX - box.left) / box.width), inside(1 - (event.clientY - box.top) / box.height)];
}

/**
 * Drag, click and arrow keys on a canvas: `move` while it lasts, `done` at its end. Steps of keys are shares of the canvas.
 * @param {HTMLElement} el
 * @param {{ at: () => [number, number], move: (to: [number, number]) => void, done: () => void, step?: number }} options
 */
export function movable(el, { at, move, done, step = 0.01 }) {
  el.tabIndex = 0;
  el.setAttribute("role", "application");
  el.addEventListener("pointerdown", (event) => {
    el.setPointerCapture(event.pointerId);
    move(pointedAt(event, el));
  });
  el.addEventListener("pointermove", (event) => {
    if (el.hasPointerCapture(event.pointerId)) move(pointedAt(event, el));
  });
  el.addEventListener("pointerup", done);
  el.addEventListener("pointercancel", done);
  /** @type {Record<string, [number, number]>} */
  const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  el.addEventListener("keydown", (event) => {
    const way = keys[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation(); // arrows take steps elsewhere
    const size = event.shiftKey ? 5 * step : step;
    const [x, y] = at();
    move([Math.max(0, Math.min(1, x + way[0] * size)), Math.max(0, Math.min(1, y + way[1] * size))]);
  });
  el.addEventListener("keyup", (event) => event.key in keys && done());
}
