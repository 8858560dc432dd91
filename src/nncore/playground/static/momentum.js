/** Why momentum works: the map of its regimes, and the run of the point that is chosen on it. */

import { image, sheet, ticks } from "./canvas.js";
import { CLASSES, css, theme } from "./colors.js";
import { contour, strokeContour } from "./contours.js";
import { h, short } from "./dom.js";
import { exploreAxes, explorePath, exploreSlider, movable, newestOnly } from "./explore.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").MomentumState} MomentumState */
/** @typedef {import("./types").Message<import("./types").Momentum>} Regimes */

/** What there is to see, by the name of the regime. */
const MOMENTUM_WORDS = {
  monotone: "Both roots are real and positive: the error shrinks in every step and never changes its sign. More momentum makes it faster.",
  ripples: "The roots are complex: x swings around the minimum. Each step shrinks the swing by √μ, whatever η and λ are: less momentum makes it faster.",
  "one step": "Both roots are 0: without momentum and with η = 1/λ, one step reaches the minimum. But for one λ only.",
  oscillation: "The larger root is negative: each step jumps over the minimum, and x changes its sign. A smaller η, or more momentum, calms it.",
  divergence: "A root has left the unit circle: each step makes the error larger. η is too large for this λ.",
};
/** @type {Record<string, import("./colors.js").RGB>} */
const MOMENTUM_COLORS = { monotone: CLASSES[1], ripples: CLASSES[2], "one step": CLASSES[3], oscillation: CLASSES[0], divergence: CLASSES[4] };
/** @type {[string, number, number][]} */
const MOMENTUM_PLACES = [["monotone", 0.05, 0.05], ["ripples", 1.15, 0.47], ["oscillation", 1.5, 0.05], ["divergence", 2.95, 0.25]];
const MOMENTUM_LARGEST = 12; // |x| of a run that diverges

/**
 * @param {App} app
 * @returns {import("./types").View}
 */
export function momentumView(app) {
  let chosen = app.state.momentum;
  let dragging = false;
  let asked = "";
  /** @type {Regimes | null} */
  let reply = null;
  const map = sheet("The regimes of momentum over ηλ and μ. Click, drag or press arrow keys to move the point", "explore-map");
  const chart = sheet("The run from x = 1, and the envelope of theory", "explore-chart");
  const words = momentumWords(() => (draft({ momentum: Math.min(0.999, reply?.header.optimum[0] ?? 0) }), keep()));
  const ask = newestOnly(app, (/** @type {Regimes} */ answer) => {
    reply = answer;
    draw();
  });
  /** @param {Partial<MomentumState>} change */
  function draft(change) {
    dragging = true;
    chosen = { ...chosen, ...change };
    update();
  }
  function keep() {
    dragging = false;
    const kept = chosen;
    app.change((state) => (state.momentum = kept)).then(update);
  }
  const rate = exploreSlider({
    label: "ηλ", title: "Learning rate times eigenvalue", minimum: 0.01, maximum: 4, value: chosen.rate,
    input: (value) => draft({ rate: value }), done: keep,
  });
  const momentum = exploreSlider({
    label: "μ", title: "Momentum", minimum: 0, maximum: 0.999, value: chosen.momentum,
    input: (value) => draft({ momentum: value }), done: keep,
  });
  movable(map.el, {
    at: () => [chosen.rate / 4, chosen.momentum],
    move: ([x, y]) => draft({ rate: Math.max(0.01, Number((4 * x).toFixed(3))), momentum: Math.min(0.999, Number(y.toFixed(3))) }),
    done: keep,
    step: 0.005,
  });
  function draw() {
    const answer = reply;
    if (!answer) return;
    map.draw((g, width, height) => paintRegimes(g, width, height, answer, chosen, app));
    chart.draw((g, width, height) => paintMomentumRun(g, width, height, answer, app));
    words.tell(answer.header);
  }
  function update() {
    if (app.state.view !== "momentum") return;
    if (!dragging) chosen = app.state.momentum;
    rate.set(chosen.rate);
    momentum.set(chosen.momentum);
    draw();
    const request = JSON.stringify(chosen);
    if (request === asked) return;
    asked = request;
    ask({ type: "momentum", momentum: chosen });
  }
  const axes = h("p.explore-caption", {}, "Across: learning rate times eigenvalue. Up: momentum. Lines of equal |σ|, the factor on the error in each step; the thick one is 1.");
  const main = h("div.explore-main", {}, map.el, axes);
  const side = h("div.explore-side", {}, h("div.explore-controls", {}, rate.el, momentum.el), words.el, chart.el);
  return { el: h("section.explore", { "aria-label": "Momentum" }, main, side), update };
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

/** @type {(g: CanvasRenderingContext2D, width: number, height: number, reply: Regimes, chosen: MomentumState, app: App) => void} */
function paintRegimes(g, width, height, reply, chosen, app) {
  const { ground, ink, accent } = theme(app.root);
  const { box: [x0, x1, y0, y1], regimes } = reply.header;
  const { shape: [rows, columns], data } = reply.arrays.map;
  const rates = reply.arrays.rate.data;
  const pixels = new Uint8ClampedArray(4 * data.length);
  data.forEach((regime, k) => {
    const share = 0.25 + 0.6 * (rates[k] < 1 ? 1 - rates[k] : Math.min(1, rates[k] - 1));
    const color = MOMENTUM_COLORS[regimes[regime]];
    pixels.set([...ground.map((c, i) => c + share * (color[i] - c)), 255], 4 * k);
  });
  /** @type {[number, number, number, number]} */
  const whole = [0, 0, width, height];
  image(g, pixels, columns, rows, whole);
  for (const level of [0.2, 0.4, 0.6, 0.8, 1, 1.5, 2]) {
    g.strokeStyle = ink;
    g.globalAlpha = level === 1 ? 0.9 : 0.3;
    g.lineWidth = level === 1 ? 2 : 1;
    strokeContour(g, contour(rates, columns, rows, level), columns, rows, whole);
  }
  g.globalAlpha = 1;
  /** @type {(a: number, mu: number) => [number, number]} */
  const place = (a, mu) => [((a - x0) / (x1 - x0)) * width, (1 - (mu - y0) / (y1 - y0)) * height];
  paintBorders(g, place, ink);
  paintRegimeNames(g, place, ink, ground);
  paintMomentumTicks(g, place, [x0, x1, y0, y1], ink);
  paintMomentumPoint(g, place(chosen.rate, chosen.momentum), accent);
}

/** @type {(g: CanvasRenderingContext2D, place: (a: number, mu: number) => [number, number], ink: string) => void} */
function paintBorders(g, place, ink) {
  const all = Array.from({ length: 201 }, (_, k) => k / 200);
  g.strokeStyle = ink;
  g.lineWidth = 1.6;
  g.setLineDash([6, 4]);
  for (const side of [-1, 1]) explorePath(g, all.map((mu) => place((1 + side * Math.sqrt(mu)) ** 2, mu)));
  g.setLineDash([]);
  explorePath(g, [place(1, 0.01), place(1, 0.075)]);
  g.beginPath();
  g.arc(...place(1, 0), 5, 0, 7);
  g.stroke();
  g.font = "12px system-ui, sans-serif";
  g.fillStyle = ink;
  [g.textAlign, g.textBaseline] = ["center", "bottom"];
  for (const rate of [0.4, 0.6, 0.8]) g.fillText(`|σ| = ${rate}`, ...place(1, rate * rate)); // √μ
}

/** @type {(g: CanvasRenderingContext2D, place: (a: number, mu: number) => [number, number], ink: string, ground: number[]) => void} */
function paintRegimeNames(g, place, ink, ground) {
  g.font = "600 16px system-ui, sans-serif";
  [g.textAlign, g.textBaseline] = ["left", "bottom"];
  for (const [name, a, mu] of [...MOMENTUM_PLACES, /** @type {[string, number, number]} */ (["one step", 0.83, 0.07])]) {
    const [x, y] = place(a, mu);
    g.strokeStyle = css(/** @type {import("./colors.js").RGB} */ (ground), 0.8);
    g.lineWidth = 4;
    g.strokeText(name, x, y - 12);
    g.fillStyle = ink;
    g.fillText(name, x, y - 12);
  }
}

/** @type {(g: CanvasRenderingContext2D, place: (a: number, mu: number) => [number, number], box: number[], ink: string) => void} */
function paintMomentumTicks(g, place, [x0, x1, y0, y1], ink) {
  g.font = "12px system-ui, sans-serif";
  g.fillStyle = ink;
  [g.textAlign, g.textBaseline] = ["center", "bottom"];
  for (const a of ticks(x0, x1, 8).slice(1, -1)) g.fillText(short(a), place(a, 0)[0], place(a, 0)[1] - 2);
  [g.textAlign, g.textBaseline] = ["left", "middle"];
  for (const mu of ticks(y0, y1, 5).slice(1, -1)) g.fillText(short(mu), 4, place(0, mu)[1]);
  g.font = "italic 600 16px Georgia, serif";
  g.fillText("μ", 6, 14);
  g.textAlign = "right";
  g.fillText("ηλ", place(x1, 0)[0] - 8, place(0, 0)[1] - 12);
}

/** @type {(g: CanvasRenderingContext2D, at: [number, number], accent: string) => void} */
function paintMomentumPoint(g, [x, y], accent) {
  g.beginPath();
  g.arc(x, y, 9, 0, 7);
  g.fillStyle = accent;
  g.fill();
  g.strokeStyle = "#fff";
  g.lineWidth = 3;
  g.stroke();
}

/** @type {(g: CanvasRenderingContext2D, width: number, height: number, reply: Regimes, app: App) => void} */
function paintMomentumRun(g, width, height, reply, app) {
  const ink = theme(app.root);
  const whole = Array.from(reply.arrays.run.data);
  const gone = whole.findIndex((value) => Math.abs(value) > 1.1 * MOMENTUM_LARGEST);
  const run = gone < 0 ? whole : whole.slice(0, gone + 1);
  const theory = Array.from(reply.arrays.theory.data).slice(0, run.length);
  const top = 1.1 * Math.min(MOMENTUM_LARGEST, Math.max(1, ...run.map(Math.abs)));
  /** @type {[number, number, number, number]} */
  const box = [44, 26, width - 60, height - 66];
  const place = exploreAxes(g, { box, x: [0, whole.length - 1], y: [-top, top], xLabel: "step", yLabel: "x, the error; band: C |σ|ᵗ", ink });
  const color = css(MOMENTUM_COLORS[reply.header.regime]);
  g.save();
  g.beginPath();
  g.rect(box[0] - 4, box[1], box[2] + 8, box[3]);
  g.clip();
  const limit = (/** @type {number} */ value) => place.y(Math.max(-9 * top, Math.min(9 * top, value)));
  g.beginPath();
  theory.forEach((value, t) => g.lineTo(place.x(t), limit(value)));
  theory.map((value, t) => [place.x(t), limit(-value)]).reverse().forEach(([x, y]) => g.lineTo(x, y));
  g.fillStyle = css(MOMENTUM_COLORS[reply.header.regime], 0.22);
  g.fill();
  g.strokeStyle = g.fillStyle = color;
  g.lineWidth = 2;
  const line = run.map((value, t) => [place.x(t), limit(value)]);
  explorePath(g, line);
  for (const [x, y] of line) {
    g.beginPath();
    g.arc(x, y, 3, 0, 7);
    g.fill();
  }
  g.restore();
}
