/** Optimizers that race on a landscape. */

import { h, short } from "./dom.js";
import { exploreSelect, exploreSlider, movable, newestOnly } from "./explore.js";
import { racersList } from "./racers.js";
import { racePicture, raceTable } from "./race.js";
import { raceCurves } from "./racecurves.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").LandscapeState} LandscapeState */
/** @typedef {import("./types").Message<import("./types").Landscape>} Race */

/**
 * @param {App} app
 * @returns {import("./types").View}
 */
export function landscapeView(app) {
  let chosen = app.state.landscape; // ahead of the state while something is being dragged
  let dragging = false;
  let asked = "";
  /** @type {Race | null} */
  let race = null;
  const clock = raceClock(show);
  const picture = racePicture(app);
  const curves = raceCurves(app);
  const table = raceTable(app);
  const ask = newestOnly(app, (/** @type {Race} */ reply) => {
    race = reply;
    draw();
    clock.start(raceLength(reply), !dragging);
  });

  /** @param {Partial<LandscapeState>} change */
  function draft(change) {
    dragging = true;
    chosen = { ...chosen, ...change };
    update();
  }
  function keep() {
    dragging = false;
    const kept = chosen;
    if (race) clock.start(raceLength(race), true);
    app.change((state) => (state.landscape = kept)).then(update);
  }
  /** @param {Partial<LandscapeState>} change */
  const choose = (change) => (draft(change), keep());

  const controls = landscapeControls(app, () => chosen, draft, choose, keep, () => ((asked = ""), update()));
  movable(picture.target, {
    at: () => picture.shareOf(chosen.start),
    move: (share) => draft({ start: picture.pointAt(share) }),
    done: keep,
  });

  function show() {
    if (!race) return;
    picture.paint(race, clock.at(), chosen.start);
    curves.paint(race, clock.at());
  }
  function draw() {
    if (!race) return;
    picture.ground(race);
    table.fill(race, chosen.steps);
    show();
  }
  function update() {
    if (app.state.view !== "landscape") return clock.stop();
    if (!dragging) chosen = app.state.landscape;
    controls.set(chosen);
    draw();
    const request = JSON.stringify(chosen);
    if (request === asked) return;
    asked = request;
    ask({ type: "landscape", landscape: chosen });
  }
  const side = h("div.explore-side", {}, controls.el, table.el);
  const main = h("div.explore-main", {}, picture.el, clock.el, curves.el);
  return { el: h("section.explore", { "aria-label": "Landscapes" }, main, side), update, close: clock.stop };
}

/** @param {Race} race */
function raceLength(race) {
  return Math.max(1, ...race.header.racers.map((_, i) => race.arrays[`${i}/loss`].data.length - 1));
}

/**
 * Which landscape, how many steps, who races.
 * @param {App} app
 * @param {() => LandscapeState} now
 * @param {(change: Partial<LandscapeState>) => void} draft while a slider moves
 * @param {(change: Partial<LandscapeState>) => void} choose
 * @param {() => void} keep
 * @param {() => void} again
 */
function landscapeControls(app, now, draft, choose, keep, again) {
  const which = exploreSelect("Landscape", app.catalog.landscapes, (name) => choose({ name, start: landscapeStart(app, name) }));
  const eigenvalues = [0, 1].map((i) =>
    exploreSlider({
      label: "λ₁λ₂".slice(2 * i, 2 * i + 2), title: `Eigenvalue ${i + 1}`, minimum: 0.1, maximum: 1000, value: now().eigenvalues[i],
      log: true, input: (value) => draft({ eigenvalues: pairWith(now().eigenvalues, i, value) }), done: keep,
    }),
  );
  const steps = exploreSlider({
    label: "steps", title: "Number of steps", minimum: 10, maximum: 2000, value: now().steps, log: true, whole: true,
    input: (value) => draft({ steps: value }), done: keep,
  });
  const refresh = h("button", { type: "button", onclick: again }, "Around the present weights");
  const racers = racersList(app, now, draft, choose, keep);
  const bends = h("div.explore-row", {}, ...eigenvalues.map((slider) => slider.el));
  return {
    el: h("div.explore-controls", {}, which.el, bends, refresh, steps.el, racers.el),
    /** @param {LandscapeState} state */
    set(state) {
      which.select.value = state.name;
      bends.hidden = state.name !== "quadratic";
      refresh.hidden = state.name !== "network";
      eigenvalues.forEach((slider, i) => slider.set(state.eigenvalues[i]));
      steps.set(state.steps);
      racers.set(state.racers);
    },
  };
}

/**
 * @param {[number, number]} pair
 * @param {number} i
 * @param {number} value
 * @returns {[number, number]}
 */
function pairWith(pair, i, value) {
  return i === 0 ? [value, pair[1]] : [pair[0], value];
}

/**
 * @param {App} app
 * @param {string} name
 * @returns {[number, number]}
 */
function landscapeStart(app, name) {
  const found = /** @type {{ box: number[], start?: [number, number] } | undefined} */ (
    app.catalog.landscapes.find((entry) => entry.name === name)
  );
  return found?.start ?? [0, 0];
}

/**
 * The clock of a race: play, a slider of steps, and how many of them a second has.
 * @param {() => void} tick
 */
function raceClock(tick) {
  let [at, last, rate, then, frame] = [0, 1, 40, 0, 0];
  const button = h("button.explore-play", { type: "button", onclick: () => (frame ? stop() : play(at >= last ? 0 : at)) });
  const slider = /** @type {HTMLInputElement} */ (h("input", { type: "range", min: "0", step: "any", "aria-label": "Step of the race" }));
  const count = h("output.explore-number", {});
  const speed = exploreSlider({
    label: "steps/s", title: "Steps per second", minimum: 2, maximum: 1000, value: rate, log: true, whole: true,
    input: (value) => (rate = value), done: (value) => (rate = value),
  });
  slider.addEventListener("input", () => (stop(), go(Number(slider.value))));

  /** @param {number} step */
  function go(step) {
    at = Math.min(step, last);
    slider.value = String(at);
    count.textContent = short(Math.floor(at));
    tick();
  }
  function name() {
    button.textContent = frame ? "Pause" : "Play";
  }
  /** @param {number} from */
  function play(from) {
    stop();
    go(from);
    then = performance.now();
    frame = requestAnimationFrame(run);
    name();
  }
  /** @param {number} now */
  function run(now) {
    frame = requestAnimationFrame(run);
    go(at + (rate * Math.max(0, now - then)) / 1000);
    then = now;
    if (at >= last) stop();
  }
  function stop() {
    cancelAnimationFrame(frame);
    frame = 0;
    name();
  }
  name();
  return {
    el: h("div.explore-clock", {}, button, slider, count, speed.el),
    at: () => at,
    stop,
    /**
     * A new race: from its start, or at once at its end.
     * @param {number} steps
     * @param {boolean} moving
     */
    start(steps, moving) {
      last = steps;
      slider.max = String(steps);
      if (moving && !matchMedia("(prefers-reduced-motion: reduce)").matches) play(0);
      else (stop(), go(last));
    },
  };
}
