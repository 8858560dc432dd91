/** A pad to draw data on: points of the chosen class, with the mouse, a pen, or the keyboard. */

import { sheet } from "./canvas.js";
import { CLASSES, css, theme } from "./colors.js";
import { h } from "./dom.js";
import { renewed } from "./fields.js";

/** @typedef {[number, number, number]} Point */

const APART = 0.07; // between the points of one class
const RUBBER = 0.12; // radius of the eraser
const FEWEST = 4; // points that can be trained on
const ERASER = -1;
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class Pad {
  #tool = 0; // a class, or the eraser
  #drawing = false; // the mouse is down
  /** @type {Point[] | null} */ #draft = null; // points that are not in the state: while one draws, or too few yet
  /** @type {[number, number]} */ #cross = [0, 0]; // of the keyboard
  #sheet = sheet("Draw points here: arrows move the cross, Enter puts a point", "pad");
  #tools = h("div.chips", { role: "group", "aria-label": "what to draw" });

  /** @param {import("./types").App} app */
  constructor(app) {
    this.app = app;
    this.el = h("div.drawing", {}, this.#tools, this.#sheet.el, h("button", { onclick: () => this.#keep([]) }, "Clear"));
    this.#choose(0);
    this.#listen();
  }

  update() {
    this.#sheet.draw((g, width) => {
      const { ground, ink } = theme(this.app.root);
      g.fillStyle = css(ground);
      g.fillRect(0, 0, width, width);
      for (const point of this.#points) padPoint(g, point, width, ink);
      if (document.activeElement === this.#sheet.el) padCross(g, this.#cross, width, ink);
    });
  }

  get #points() {
    return this.#draft || this.app.state.data.points;
  }

  #listen() {
    const { el } = this.#sheet;
    const done = () => {
      if (this.#drawing) this.#keep(this.#points);
      this.#drawing = false;
    };
    el.tabIndex = 0;
    el.addEventListener("pointerdown", (event) => {
      el.setPointerCapture(event.pointerId);
      this.#drawing = true;
      this.#draw(event);
    });
    el.addEventListener("pointermove", (event) => this.#drawing && this.#draw(event));
    for (const end of ["pointerup", "pointercancel"]) el.addEventListener(end, done);
    for (const focus of ["focus", "blur"]) el.addEventListener(focus, () => this.update());
    el.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {PointerEvent} event */
  #draw(event) {
    const box = this.#sheet.el.getBoundingClientRect();
    const [x, y] = [(2 * (event.clientX - box.left)) / box.width - 1, 1 - (2 * (event.clientY - box.top)) / box.height];
    if (Math.max(Math.abs(x), Math.abs(y)) <= 1) this.#draft = this.#put(x, y);
    this.update();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const arrow = ARROWS[event.key];
    const [x, y] = this.#cross;
    if (arrow) this.#cross = [onPad(x + 0.05 * arrow[0]), onPad(y + 0.05 * arrow[1])];
    else if (event.key === "Enter") void this.#keep(this.#put(x, y));
    else return;
    event.preventDefault();
    this.update();
  }

  /**
   * One more point of the class, or those without the erased ones.
   * @param {number} x
   * @param {number} y
   * @returns {Point[]}
   */
  #put(x, y) {
    const points = this.#points;
    const away = (/** @type {Point} */ point) => Math.hypot(point[0] - x, point[1] - y);
    if (this.#tool === ERASER) return points.filter((point) => away(point) > RUBBER);
    if (points.some((point) => away(point) < APART && point[2] === this.#tool)) return points;
    const most = this.app.catalog.limits.examples;
    if (points.length < most) return [...points, [onPad(x), onPad(y), this.#tool]];
    this.app.say(`No more than ${most} points`);
    return points;
  }

  /**
   * Train on the points, if there are enough of them.
   * @param {Point[]} points
   */
  async #keep(points) {
    this.#draft = points;
    if (points.length >= FEWEST) {
      await this.app.change((state) => {
        Object.assign(state.data, { kind: "drawn", points });
      });
      if (this.#draft === points) this.#draft = null;
    }
    this.update();
  }

  /** @param {number} tool */
  #choose(tool) {
    this.#tool = tool;
    renewed(
      this.#tools,
      [0, 1, 2, ERASER].map((one) => {
        const looks = { "aria-pressed": String(one === tool) };
        const button = h("button.chip", { ...looks, onclick: () => this.#choose(one) }, one < 0 ? "Erase" : `Class ${one}`);
        if (one >= 0) button.style.setProperty("--dot", css(CLASSES[one]));
        return button;
      }),
    );
  }
}

/** @param {number} value */
function onPad(value) {
  return Math.max(-1, Math.min(1, Math.round(100 * value) / 100));
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {Point} point
 * @param {number} width
 * @param {string} ink
 */
function padPoint(g, [x, y, c], width, ink) {
  g.beginPath();
  g.arc(((x + 1) / 2) * width, ((1 - y) / 2) * width, 4, 0, 2 * Math.PI);
  g.fillStyle = css(CLASSES[c % CLASSES.length]);
  g.fill();
  g.strokeStyle = ink;
  g.lineWidth = 0.5;
  g.stroke();
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {[number, number]} at
 * @param {number} width
 * @param {string} ink
 */
function padCross(g, [x, y], width, ink) {
  const [left, top] = [((x + 1) / 2) * width, ((1 - y) / 2) * width];
  g.strokeStyle = ink;
  g.lineWidth = 1.5;
  g.strokeRect(left - 6, top - 6, 12, 12);
}
