/** The network: its units as pictures, its weights as lines, and buttons that change it. */

import { sheet } from "./canvas.js";
import { h, short } from "./dom.js";
import { networkButtons } from "./netbuttons.js";
import { leastWidth, neighbor, underPoint, unitY } from "./netlayout.js";
import { paintNetwork } from "./netpaint.js";
import { networkPictures, networkScene } from "./netscene.js";
import { described } from "./nettip.js";
import { hoverTip } from "./parts.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Inspect} Inspect */
/** @typedef {import("./types").Message<import("./types").Frame>} FrameMessage */
/** @typedef {import("./netpaint.js").Scene} Scene */

const PHASES = ["forward", "loss", "backward", "update"];

/** @type {Record<string, string>} */
const PHASE_NOTES = {
  forward: "In the units: z and h of the example that is {where}. Lines: w.",
  loss: "From the outputs and the targets; this is the loss of all training examples.",
  backward: "In the units: δ = ∂l/∂z of the example that is {where}. Lines: ∂l/∂w of the batch.",
  update: "The optimizer has changed the weights. Lines: w.",
};

/** The four phases of a step, the present one large. */
function phaseStrip() {
  const el = h("ol.play-phases", { hidden: true, "aria-label": "Phase of the step" });
  const items = PHASES.map((phase) => h("li", {}, phase[0].toUpperCase() + phase.slice(1)));
  const note = h("p.phase-note", { hidden: true });
  el.append(...items);
  return {
    el: h("div.phases", {}, el, note),
    /**
     * @param {string | null} phase
     * @param {number | null} loss
     * @param {boolean} picture
     */
    show(phase, loss, picture) {
      el.hidden = note.hidden = phase === null;
      note.textContent = PHASE_NOTES[phase ?? "update"].replace("{where}", picture ? "the input" : "ringed on the map");
      items.forEach((item, i) =>
        phase === PHASES[i] ? item.setAttribute("aria-current", "step") : item.removeAttribute("aria-current"),
      );
      items[1].textContent = phase === "loss" ? `Loss ${short(loss)}` : "Loss";
    },
  };
}

/** The view: a canvas, buttons over it, a tip, the phases of a step. */
class NetworkPanel {
  /** @type {FrameMessage | null} */
  #last = null;
  /** @type {Scene | null} */
  #scene = null;
  /** @type {Inspect | null} what the mouse or the arrow keys are at */
  #focus = null;
  #place = [0, 0]; // of the tip
  #canvas = sheet("The network: inputs, layers and outputs. Arrow keys go from unit to unit, Enter pins one.", "net-canvas");
  #bubble = hoverTip();
  #phases = phaseStrip();
  #resized = new ResizeObserver(() => this.update());

  /**
   * @param {App} app
   * @param {number} run
   */
  constructor(app, run) {
    this.app = app;
    this.run = run;
    this.buttons = networkButtons(app, run);
    this.pictures = networkPictures(app, run);
    this.stage = h("div.net-stage", {}, this.#canvas.el, this.buttons.el);
    this.el = h("div.play-network", {}, this.#phases.el, this.stage, this.#bubble.el);
    this.#resized.observe(this.el);
    this.#listen(this.#canvas.el);
  }

  /** @param {HTMLCanvasElement} el */
  #listen(el) {
    el.tabIndex = 0;
    el.setAttribute("role", "application"); // it has keys of its own
    el.addEventListener("pointermove", (event) => {
      this.#place = [event.offsetX, event.offsetY];
      this.#look(this.#under(event));
      el.style.cursor = this.#focus ? "pointer" : "";
      this.#tell();
    });
    el.addEventListener("pointerleave", () => this.#look(null));
    el.addEventListener("blur", () => this.#look(null));
    el.addEventListener("click", (event) => this.app.select(this.#under(event)));
    el.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {MouseEvent} event */
  #under({ offsetX, offsetY }) {
    return this.#scene && underPoint(this.#scene.layout, offsetX, offsetY, this.run);
  }

  update() {
    const now = this.#last?.header.runs[this.run];
    const { el } = this.#canvas;
    if (!this.#last || !now || !el.clientWidth) return;
    el.style.minWidth = `${leastWidth(now.layers.length + 1)}px`;
    const scene = networkScene(this.app, this.run, this.#last, el.clientWidth, this.pictures.of(this.#last), this.#focus);
    el.style.height = `${scene.layout.height}px`;
    this.#canvas.draw((g) => paintNetwork(g, scene));
    this.buttons.place(scene.layout);
    this.#phases.show(scene.phase, now.loss, scene.layout.picture > 0);
    this.#scene = scene;
    this.#tell();
  }

  #tell() {
    const lines = this.#focus && this.#scene ? described(this.#scene, this.#focus) : [];
    const [left, top] = [this.#place[0] - this.stage.scrollLeft, this.#place[1] + this.stage.offsetTop];
    this.#bubble.show(lines, left, top, this.stage.clientWidth);
  }

  /** @param {Inspect | null} what */
  #look(what) {
    const moved = JSON.stringify(what) !== JSON.stringify(this.#focus);
    this.#focus = what;
    if (moved) this.app.hover(what);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const scene = this.#scene;
    if (event.key === "Escape") {
      this.#look(null);
      this.app.select(null);
    } else if (event.key === "Enter" && this.#focus) this.app.select(this.#focus);
    if (!scene || !event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const next = neighbor(scene.layout, this.#focus ?? scene.pinned, event.key, this.run);
    const y = next.kind === "layer" ? 20 : unitY(scene.layout, next.layer + 1, next.unit);
    this.#place = [scene.layout.columns[next.layer + 1].x, y];
    this.#look(next);
  }

  /** @param {FrameMessage} frame */
  paint(frame) {
    this.#last = frame;
    this.update();
  }

  close() {
    this.#resized.disconnect();
  }
}

/**
 * @param {App} app
 * @param {number} run
 * @returns {import("./types").View}
 */
export function networkView(app, run) {
  return new NetworkPanel(app, run);
}
