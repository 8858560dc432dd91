/** A pad to draw data on: points of the chosen class, with the mouse, a pen, or the keyboard. */

import { sheet } from "./canvas.js";
import { CLASSES, css, theme } from "./colors.js";
import { h } from "./dom.js";
import { renewed } from "./fields.js";

/** @typedef {[number, number, number]} Point */

const APART = 0.07; // between the points of one stroke
const ERASER = 0.12;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** @param {import("./types").App} app */
export function padView(app) {
  let tool = 0; // the class; −1: the eraser
  /** @type {Point[] | null} */
  let stroke = null; // the points while the mouse is down
  let [x, y] = [0, 0]; // of the keyboard's cross
  const pad = sheet("Draw points here: arrows move the cross, Enter puts a point", "pad");
  const tools = h("div.chips", { role: "group", "aria-label": "what to draw" });
  const points = () => stroke || app.state.data.points;

  const paint = () => pad.draw((g, width) => {
    const colors = theme(app.root);
    g.fillStyle = css(colors.ground);
    g.fillRect(0, 0, width, width);
    for (const point of points()) padDot(g, point, width, colors.ink);
    if (document.activeElement !== pad.el) return;
    g.strokeStyle = colors.ink;
    const [left, top] = [((x + 1) / 2) * width, ((1 - y) / 2) * width];
    g.strokeRect(left - 5, top - 5, 10, 10);
  });
  /** @param {Point[]} now */
  const keep = (now) => app.change((state) => { Object.assign(state.data, { kind: "drawn", points: now }); });
  /** @param {number} px @param {number} py */
  const put = (px, py) => {
    const now = changed(points(), tool, px, py);
    if (now.length <= app.catalog.limits.examples) return now;
    app.say(`No more than ${app.catalog.limits.examples} points`);
    return points();
  };
  /** @param {PointerEvent} event */
  const draw = (event) => {
    const box = pad.el.getBoundingClientRect();
    const [px, py] = [(2 * (event.clientX - box.left)) / box.width - 1, 1 - (2 * (event.clientY - box.top)) / box.height];
    if (Math.max(Math.abs(px), Math.abs(py)) <= 1) stroke = put(px, py);
    paint();
  };
  const done = () => {
    if (stroke) keep(stroke);
    stroke = null;
  };
  Object.assign(pad.el, { tabIndex: 0, onblur: paint, onfocus: paint });
  pad.el.addEventListener("pointerdown", (event) => {
    pad.el.setPointerCapture(event.pointerId);
    draw(event);
  });
  pad.el.addEventListener("pointermove", (event) => stroke && draw(event));
  pad.el.addEventListener("pointerup", done);
  pad.el.addEventListener("pointercancel", done);
  pad.el.addEventListener("keydown", (event) => {
    const arrow = ARROWS[/** @type {keyof typeof ARROWS} */ (event.key)];
    if (arrow) [x, y] = [bounded(x + arrow[0] * 0.05), bounded(y + arrow[1] * 0.05)];
    else if (event.key === "Enter" || event.key === " ") keep(put(x, y));
    else return;
    event.preventDefault();
    paint();
  });
  const choose = () => renewed(tools, [0, 1, 2, -1].map((one) => toolButton(one, one === tool, () => {
    tool = one;
    choose();
  })));
  choose();
  const clear = h("button", { onclick: () => keep([]) }, "Clear");
  return { el: h("div.drawing", {}, tools, pad.el, clear), update: paint };
}

/** @param {number} value */
function bounded(value) {
  return Math.max(-1, Math.min(1, Math.round(100 * value) / 100));
}

/**
 * One more point, or those without the erased ones.
 * @param {Point[]} points
 * @param {number} tool
 * @param {number} x
 * @param {number} y
 * @returns {Point[]}
 */
function changed(points, tool, x, y) {
  const away = (/** @type {Point} */ point) => Math.hypot(point[0] - x, point[1] - y);
  if (tool < 0) return points.filter((point) => away(point) > ERASER);
  const near = points.some((point) => away(point) < APART && point[2] === tool);
  return near ? points : [...points, [bounded(x), bounded(y), tool]];
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Point} point
 * @param {number} width
 * @param {string} ink
 */
function padDot(g, [x, y, c], width, ink) {
  g.beginPath();
  g.arc(((x + 1) / 2) * width, ((1 - y) / 2) * width, 4, 0, 2 * Math.PI);
  g.fillStyle = css(CLASSES[c % CLASSES.length]);
  g.fill();
  g.strokeStyle = ink;
  g.lineWidth = 0.5;
  g.stroke();
}

/**
 * @param {number} tool
 * @param {boolean} pressed
 * @param {() => void} choose
 */
function toolButton(tool, pressed, choose) {
  const button = h("button.chip", { "aria-pressed": String(pressed), onclick: choose }, tool < 0 ? "Erase" : `Class ${tool}`);
  if (tool >= 0) button.style.setProperty("--dot", css(CLASSES[tool]));
  return button;
}
