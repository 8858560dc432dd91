/** Optimizers that race on a landscape. */

import { h, short } from "./dom.js";
import { exploreSelect, explored, exploreSlider, movable } from "./explore.js";
import { raceClock } from "./raceclock.js";
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
  /** @type {Race | null} */
  let race = null;
  const clock = raceClock(show);
  const [picture, curves, table] = [racePicture(app), raceCurves(app), raceTable(app)];
  const state = explored(app, "landscape", draw, (reply) => {
    race = reply;
    draw();
    clock.start(raceLength(reply), !state.dragging());
  });
  const kept = () => (race && clock.start(raceLength(race), true), state.keep());
  const controls = landscapeControls(app, { ...state, keep: kept });
  movable(picture.target, {
    at: () => picture.shareOf(state.now().start),
    move: (share) => state.draft({ start: picture.pointAt(share) }),
    done: kept,
  });
  function show() {
    if (!race) return;
    picture.paint(race, clock.at(), state.now().start);
    curves.paint(race, clock.at());
  }
  function draw() {
    controls.set(state.now());
    if (!race) return;
    picture.ground(race);
    table.fill(race, state.now().steps);
    show();
  }
  const side = h("div.explore-side", {}, controls.el, table.el);
  const hint = h("p.explore-caption", {}, "Click or drag to choose where they start. Stars: minima.");
  const main = h("div.explore-main", {}, picture.el, hint, clock.el, curves.el);
  const update = () => (app.state.view === "landscape" ? state.update() : clock.stop());
  return { el: h("section.explore", { "aria-label": "Landscapes" }, main, side), update, close: clock.stop };
}

/** @param {Race} race */
function raceLength(race) {
  return Math.max(1, ...race.header.racers.map((_, i) => race.arrays[`${i}/loss`].data.length - 1));
}

/**
 * Which landscape, how many steps, who races.
 * @param {App} app
 * @param {import("./racers.js").RaceState} state
 */
function landscapeControls(app, state) {
  const { now, draft, choose, keep, again } = state;
  const which = exploreSelect("Landscape", app.catalog.landscapes, (name) =>
    choose({ name, start: landscapeStart(app, name) }),
  );
  const eigenvalues = ["λ₁", "λ₂"].map((label, i) =>
    exploreSlider({
      ...{ label, title: `Eigenvalue ${i + 1}`, minimum: 0.1, maximum: 1000, value: now().eigenvalues[i], log: true },
      input: (value) => draft({ eigenvalues: pairWith(now().eigenvalues, i, value) }),
      done: keep,
    }),
  );
  const steps = exploreSlider({
    ...{ label: "steps", title: "Number of steps", minimum: 10, maximum: 2000, value: now().steps, log: true, whole: true },
    input: (value) => draft({ steps: value }),
    done: keep,
  });
  const refresh = h("button", { type: "button", onclick: again }, "Around the present weights");
  const racers = racersList(app, state);
  const bends = h("div.explore-row", {}, ...eigenvalues.map((slider) => slider.el));
  return {
    el: h("div.explore-controls", {}, which.el, bends, refresh, steps.el, racers.el),
    /** @param {LandscapeState} shown */
    set(shown) {
      which.select.value = shown.name;
      bends.hidden = shown.name !== "quadratic";
      refresh.hidden = shown.name !== "network";
      eigenvalues.forEach((slider, i) => slider.set(shown.eigenvalues[i]));
      steps.set(shown.steps);
      racers.set(shown.racers);
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
