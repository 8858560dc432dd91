/** A network that learns in the page. */

import { sheet } from "./canvas.js";
import { grouped, h, short } from "./dom.js";
import { paintLosses, paintNetwork } from "./pictures.js";
import { training } from "./training.js";

/**
 * In place of what the element shows.
 * @param {HTMLElement} el
 * @param {import("./training.js").Program} program
 */
export async function live(el, program) {
  new Live(el, await training(program), program.data);
}

class Live {
  /** @param {HTMLElement} el @param {import("./training.js").Training} own @param {string[]} data the names of the data sets */
  constructor(el, own, data) {
    this.training = own;
    this.start = 0; // which initial parameters
    this.visible = true;
    this.time = this.elapsed = this.computing = 0; // milliseconds
    this.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.network = sheet("The network: the outputs of its units over the plane, its weights, and its decision map", "network");
    this.curve = sheet("The loss of each epoch", "curve");
    this.play = h("button", { onclick: () => this.toggle() });
    const other = h("button", { onclick: () => this.restart(1) }, "Other initial weights");
    const options = data.map((name) => h("option", {}, name));
    this.data = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Data", onchange: () => this.restart(0) }, ...options));
    const paces = [1, 8, 64].map((n) => h("option", { value: `${n}`, selected: n === 8 }, `${n} step${n > 1 ? "s" : ""} a frame`));
    this.pace = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": "Speed" }, ...paces));
    this.facts = h("p.facts");
    el.replaceChildren(this.network.el, this.curve.el, h("div.bar", {}, this.play, other, this.data, this.pace), this.facts);
    own.restart(0, 0);
    new IntersectionObserver(([entry]) => (this.visible = entry.isIntersecting)).observe(el);
    new ResizeObserver(() => this.show()).observe(el);
    new MutationObserver(() => this.show()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    requestAnimationFrame((now) => this.frame(now));
  }

  /** @param {number} further how many initial parameters further than now */
  restart(further) {
    this.start = (this.start + further) % this.training.constants.STARTS;
    this.training.restart(this.start, this.data.selectedIndex);
    this.elapsed = this.computing = 0;
    this.playing = true;
  }

  toggle() {
    if (this.training.done) return this.restart(1);
    this.playing = !this.playing;
    this.show();
  }

  /** @param {number} now */
  frame(now) {
    requestAnimationFrame((next) => this.frame(next));
    const elapsed = now - this.time;
    this.time = now;
    if (!this.playing || !this.visible) return;
    const begun = performance.now();
    this.training.run(Number(this.pace.value));
    this.computing += performance.now() - begun;
    this.elapsed += elapsed;
    this.playing = !this.training.done;
    this.show();
  }

  show() {
    const { step, done, constants, calls } = this.training;
    const losses = this.training.losses();
    calls.look();
    this.network.draw((g, width, height) => paintNetwork(g, width, height, this.training));
    this.curve.draw((g, width, height) => paintLosses(g, width, height, losses, constants.STEPS / constants.EPOCH));
    this.play.textContent = this.playing ? "Pause" : done ? "Again" : "Play";
    const facts = [`Step ${grouped(step)} of ${grouped(constants.STEPS)}`];
    if (losses.length) facts.push(`loss ${short(losses[losses.length - 1])}`);
    if (this.elapsed) facts.push(`${grouped((1000 * step) / this.elapsed)} steps a second`);
    if (step) facts.push(`a step takes ${((1000 * this.computing) / step).toFixed(1)} µs`);
    this.facts.textContent = `${facts.join(" · ")}. Computed in this page, by nncore's compiled core.`;
  }
}
