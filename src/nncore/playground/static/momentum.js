/** Why momentum works: the map of its regimes, and the run of the point that is chosen on it. */

import { sheet } from "./canvas.js";
import { h, short } from "./dom.js";
import { explored, exploreSlider, movable } from "./explore.js";
import { paintMomentumRun, paintRegimes } from "./regimes.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").MomentumState} MomentumState */
/** @typedef {import("./types").Message<import("./types").Momentum>} Regimes */

/** What there is to see, by the name of the regime. */
const MOMENTUM_WORDS = {
  monotone:
    "Both roots are real and positive: the error shrinks in every step and never changes its sign. More momentum makes it " +
    "faster.",
  ripples:
    "The roots are complex: x swings around the minimum. Each step shrinks the swing by √μ, whatever η and λ are: less " +
    "momentum makes it faster.",
  "one step": "Both roots are 0: without momentum and with η = 1/λ, one step reaches the minimum. But for one λ only.",
  oscillation:
    "The larger root is negative: each step jumps over the minimum, and x changes its sign. A smaller η, or more momentum, " +
    "calms it.",
  divergence: "A root has left the unit circle: each step makes the error larger. η is too large for this λ.",
};
/**
 * @param {App} app
 * @returns {import("./types").View}
 */
export function momentumView(app) {
  /** @type {Regimes | null} */
  let reply = null;
  const map = sheet("The regimes of momentum over ηλ and μ. Click, drag or press arrow keys to move the point", "explore-map");
  const chart = sheet("The run from x = 1, and the envelope of theory", "explore-chart");
  const state = explored(app, "momentum", draw, (answer) => {
    reply = answer;
    draw();
  });
  const words = momentumWords(() => state.choose({ momentum: Math.min(0.999, reply?.header.optimum[0] ?? 0) }));
  const controls = momentumControls(state);
  movable(map.el, {
    at: () => [state.now().rate / 4, state.now().momentum],
    move: ([x, y]) =>
      state.draft({ rate: Math.max(0.01, Number((4 * x).toFixed(3))), momentum: Math.min(0.999, Number(y.toFixed(3))) }),
    done: state.keep,
    step: 0.005,
  });
  function draw() {
    controls.set(state.now());
    const answer = reply;
    if (!answer) return;
    map.draw((g, width, height) => paintRegimes(g, width, height, answer, state.now(), app));
    chart.draw((g, width, height) => paintMomentumRun(g, width, height, answer, app));
    words.tell(answer.header);
  }
  const caption =
    "Across: learning rate times eigenvalue. Up: momentum. Lines of equal |σ|, the factor on the error in each step; ";
  const main = h("div.explore-main", {}, map.el, h("p.explore-caption", {}, `${caption}the thick one is 1.`));
  const side = h("div.explore-side", {}, controls.el, words.el, chart.el);
  const update = () => void (app.state.view === "momentum" && state.update());
  return { el: h("section.explore", { "aria-label": "Momentum" }, main, side), update };
}

/** @param {{ now: () => MomentumState, draft: (change: Partial<MomentumState>) => void, keep: () => void }} state */
function momentumControls({ now, draft, keep }) {
  const rate = exploreSlider({
    ...{ label: "ηλ", title: "Learning rate times eigenvalue", minimum: 0.01, maximum: 4, value: now().rate },
    input: (value) => draft({ rate: value }),
    done: keep,
  });
  const momentum = exploreSlider({
    ...{ label: "μ", title: "Momentum", minimum: 0, maximum: 0.999, value: now().momentum },
    input: (value) => draft({ momentum: value }),
    done: keep,
  });
  return {
    el: h("div.explore-controls", {}, rate.el, momentum.el),
    /** @param {MomentumState} shown */
    set: (shown) => (rate.set(shown.rate), momentum.set(shown.momentum)),
  };
}

/**
 * Regime, root and formula in words.
 * @param {() => void} best go to the best momentum
 */
function momentumWords(best) {
  const title = h("h3.explore-message", { "aria-live": "polite" });
  const text = h("p");
  const formula = h("p.explore-formula");
  const button = h("button", { type: "button", onclick: best });
  return {
    el: h("div", {}, title, text, formula, button),
    /** @param {import("./types").Momentum} header */
    tell({ regime, root, formula: line, optimum }) {
      title.textContent = `${regime[0].toUpperCase()}${regime.slice(1)}: each step multiplies the error by ${short(root)}`;
      text.textContent = MOMENTUM_WORDS[/** @type {keyof typeof MOMENTUM_WORDS} */ (regime)] ?? "";
      formula.replaceChildren("σ² − (1 + μ − ηλ) σ + μ = 0", h("br"), line);
      button.textContent = `Best μ for this ηλ: ${short(optimum[0])}, |σ| = ${short(optimum[1])}`;
    },
  };
}
