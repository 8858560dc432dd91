/** The clock of a race. */

import { h, short } from "./dom.js";
import { exploreSlider } from "./explore.js";

/**
 * Play, a slider of steps, and how many of them a second has.
 * @param {() => void} tick
 */
export function raceClock(tick) {
  let [at, last, rate, then, frame] = [0, 1, 40, 0, 0];
  const button = h("button.explore-play", { type: "button", onclick: () => (frame ? stop() : play(at >= last ? 0 : at)) });
  const slider = /** @type {HTMLInputElement} */ (
    h("input", { type: "range", min: "0", step: "any", "aria-label": "Step of the race" })
  );
  const count = h("output.explore-number", {});
  const speed = exploreSlider({
    ...{ label: "steps/s", title: "Steps per second", minimum: 2, maximum: 1000, value: rate, log: true, whole: true },
    input: (value) => (rate = value),
    done: (value) => (rate = value),
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
