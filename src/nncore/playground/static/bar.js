/** The bar at the top: where to go, and the clock of the networks. */

import { grouped, h } from "./dom.js";

/** @typedef {import("./types").App} App */

/**
 * What the bar can do.
 * @typedef {{
 *   play(): void, step(): void, epoch(): void, phase(): void, reset(): void, compare(): void, code(): void, turn(): void
 * }} Actions
 */

const TABS = [
  ["network", "Network"],
  ["landscape", "Landscapes"],
  ["momentum", "Momentum"],
  ["initialization", "Initialization"],
  ["lessons", "Lessons"],
];
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
  const title = h("h1", {}, "nncore", h("span", {}, " playground"));
  return {
    el: h("header.navigation", {}, title, h("nav", { "aria-label": "views" }, ...tabs), copy, turn),
    /** @param {string} tab */
    show(tab) {
      for (const button of tabs) button.setAttribute("aria-current", button.dataset.tab === tab ? "page" : "false");
      copy.hidden = !["network", "landscape"].includes(tab);
    },
  };
}

/**
 * Play, step, speed, and how far the networks are.
 * @param {App} app
 * @param {Actions} actions
 */
export function clock(app, actions) {
  const play = h("button.primary.play", { title: "Space", onclick: actions.play }, "▶ Play");
  const compare = deed("Compare two", "A second network on the same data, side by side", actions.compare);
  const [speed, counts] = [speedField(app), counters()];
  return {
    el: h(
      "div.clock",
      { role: "toolbar", "aria-label": "training" },
      play,
      deed("Step →", "One step of gradient descent (right arrow)", actions.step),
      deed("Epoch", "As many steps as there are batches", actions.epoch),
      deed("Phase by phase", "Forward, loss, backward, update, one after the other", actions.phase),
      deed("↺ Reset", "Back to step 0, with the same seed", actions.reset),
      speed.el,
      counts.el,
      compare,
    ),
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

/**
 * @param {string} text
 * @param {string} hint
 * @param {() => void} act
 */
function deed(text, hint, act) {
  return h("button", { title: hint, onclick: act }, text);
}

/** @param {App} app */
function speedField(app) {
  const moved = () =>
    app.change((state) => {
      state.speed = speedAt(Number(slider.value));
    });
  const limits = { min: "0", max: String(FASTEST), step: "1" };
  const slider = /** @type {HTMLInputElement} */ (
    h("input", { type: "range", ...limits, "aria-label": "steps per second", oninput: moved })
  );
  const text = h("output", {});
  return {
    el: h("label.speed", {}, h("span.name", {}, "speed"), slider, text),
    /** @param {number} speed */
    set(speed) {
      slider.value = String(speed ? Math.round(TENFOLD * Math.log10(speed)) : FASTEST);
      text.textContent = speed ? `${grouped(speed)} / s` : "fastest";
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
      epoch.textContent = grouped(frame.runs[0].epoch);
      rate.textContent = frame.playing ? `${grouped(frame.rate)} steps/s` : "";
      rate.title = `${Math.round(fps)} pictures per second`;
    },
  };
}
