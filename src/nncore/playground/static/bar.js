/** The bar at the top: where to go, and the clock of the networks. */

import { grouped, h } from "./dom.js";

/** @typedef {import("./types").App} App */

/**
 * What the bar can do.
 * @typedef {{ play(): void, step(): void, epoch(): void, phase(): void, reset(): void, compare(): void, code(): void, turn(): void }} Actions
 */

const TABS = [["network", "Network"], ["landscape", "Landscapes"], ["momentum", "Momentum"], ["initialization", "Initialization"], ["lessons", "Lessons"]];
const TENFOLD = 10; // positions of the speed's slider for a factor of ten
const FASTEST = 4 * TENFOLD + 1;

/**
 * @param {(tab: string) => void} go
 * @param {Actions} actions
 */
export function navigation(go, actions) {
  const tabs = TABS.map(([tab, label]) => h("button.tab", { "data-tab": tab, onclick: () => go(tab) }, label));
  const copy = h("button", { title: "A script that computes what you see", onclick: actions.code }, "Copy as Python");
  const turn = h("button.icon", { "aria-label": "light or dark", title: "Light or dark", onclick: actions.turn }, "◐");
  return {
    el: h("header.navigation", {}, h("h1", {}, "nncore", h("span", {}, " playground")), h("nav", { "aria-label": "views" }, ...tabs), copy, turn),
    /** @param {string} tab */
    show(tab) {
      for (const button of tabs) button.setAttribute("aria-current", button.dataset.tab === tab ? "page" : "false");
    },
  };
}

/**
 * Play, step, speed, and how far the networks are.
 * @param {App} app
 * @param {Actions} actions
 */
export function clock(app, actions) {
  const play = h("button.primary.play", { title: "Space", "aria-keyshortcuts": "Space", onclick: actions.play }, "▶ Play");
  const compare = h("button", { title: "A second network on the same data, side by side", onclick: actions.compare }, "Compare two");
  const [speed, counts] = [speedField(app), counters()];
  const el = h("div.clock", { role: "toolbar", "aria-label": "training" }, play,
    h("button", { title: "One step of gradient descent (→)", "aria-keyshortcuts": "ArrowRight", onclick: actions.step }, "Step →"),
    h("button", { title: "As many steps as there are batches", onclick: actions.epoch }, "Epoch"),
    h("button", { title: "Forward, loss, backward, update, one after the other", onclick: actions.phase }, "Phase by phase"),
    h("button", { title: "Back to step 0, with the same seed", onclick: actions.reset }, "↺ Reset"),
    speed.el, counts.el, compare);
  return {
    el,
    update() {
      speed.set(app.state.speed);
      compare.setAttribute("aria-pressed", String(app.state.runs.length > 1));
    },
    /** @param {number} fps */
    paint(fps) {
      if (!app.frame) return;
      const { playing } = app.frame.header;
      play.textContent = playing ? "❚❚ Pause" : "▶ Play";
      play.classList.toggle("playing", playing);
      counts.show(app.frame.header, fps);
    },
  };
}

/** @param {App} app */
function speedField(app) {
  const moved = () => app.change((state) => { state.speed = speedAt(Number(slider.value)); });
  const slider = /** @type {HTMLInputElement} */ (h("input", { type: "range", "aria-label": "steps per second", oninput: moved }));
  Object.assign(slider, { min: "0", max: String(FASTEST), step: "1" });
  const text = h("output", {});
  return {
    el: h("label.speed", {}, h("span.name", {}, "speed"), slider, text),
    /** @param {number} speed */
    set(speed) {
      slider.value = String(speed ? Math.round(TENFOLD * Math.log10(speed)) : FASTEST);
      text.textContent = speed ? `${grouped(speed)} / s` : "as fast as it goes";
      slider.setAttribute("aria-valuetext", text.textContent);
    },
  };
}

/** @param {number} position */
function speedAt(position) {
  return position >= FASTEST ? 0 : Number((10 ** (position / TENFOLD)).toPrecision(2));
}

function counters() {
  const [step, epoch, rate] = [h("b", {}, "0"), h("b", {}, "0"), h("small", {})];
  const el = h("div.counts", {}, h("span", {}, "step ", step), h("span", {}, "epoch ", epoch), rate);
  return {
    el,
    /**
     * @param {import("./types").Frame} frame
     * @param {number} fps
     */
    show(frame, fps) {
      step.textContent = grouped(frame.runs[0].step);
      epoch.textContent = frame.runs[0].epoch < 100 ? frame.runs[0].epoch.toFixed(1) : grouped(frame.runs[0].epoch);
      rate.textContent = frame.playing ? `${grouped(frame.rate)} steps/s · ${Math.round(fps)} fps` : "";
    },
  };
}
