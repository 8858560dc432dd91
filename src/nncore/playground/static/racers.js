/** Up to six optimizers with their numbers, each in its color. */

import { h } from "./dom.js";
import { exploreSlider } from "./explore.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Named} Named */
/** @typedef {import("./types").Parameter} Parameter */
/** @typedef {(change: Partial<import("./types").LandscapeState>) => void} RaceChange */
/** @typedef {{ now: () => import("./types").LandscapeState, draft: RaceChange, choose: RaceChange, keep: () => void,
 *   again: () => void }} RaceState what `explored` returns: `draft` while something moves, `keep` at its end */

const MOST_RACERS = 6;

/**
 * @param {App} app
 * @param {RaceState} state
 */
export function racersList(app, { now, draft, choose, keep }) {
  let shown = "";
  /** @type {((racer: Named) => void)[]} */
  let setters = [];
  const rows = h("div.explore-racers", { role: "list" });
  const adder = /** @type {HTMLSelectElement} */ (
    h(
      "select",
      { "aria-label": "Add an optimizer" },
      h("option", { value: "" }, "Add an optimizer …"),
      ...app.catalog.racers.map((choice) => h("option", { value: choice.name }, choice.label)),
    )
  );
  adder.addEventListener("change", () => {
    if (adder.value) choose({ racers: [...now().racers, racerWithDefaults(app, adder.value)] });
    adder.value = "";
  });
  /** @param {number} i */
  const row = (i) => {
    const line = racerRow(app, now().racers[i], {
      change: (name, value) =>
        draft({ racers: now().racers.map((racer, k) => (k === i ? { ...racer, [name]: value } : racer)) }),
      keep,
      remove: () => choose({ racers: now().racers.filter((_, k) => k !== i) }),
    });
    setters.push(line.set);
    return line.el;
  };
  return {
    el: h("div", {}, rows, adder),
    /** @param {Named[]} racers */
    set(racers) {
      const names = racers.map((racer) => racer.name).join();
      if (names !== shown || setters.length !== racers.length) {
        [shown, setters] = [names, []];
        rows.replaceChildren(...racers.map((_, i) => row(i)));
      }
      racers.forEach((racer, i) => setters[i](racer));
      adder.disabled = racers.length >= MOST_RACERS;
    },
  };
}

/**
 * @param {App} app
 * @param {string} name
 * @returns {Named}
 */
function racerWithDefaults(app, name) {
  const choice = app.catalog.racers.find((entry) => entry.name === name);
  const rate = choice?.parameters.find((parameter) => parameter.name === "lr");
  return rate ? { name, lr: rate.default } : { name };
}

/**
 * One optimizer: color, name, learning rate; its other numbers unfold.
 * @param {App} app
 * @param {Named} racer
 * @param {{ change: (name: string, value: number | string | boolean) => void, keep: () => void, remove: () => void }} on
 */
function racerRow(app, racer, on) {
  const choice = app.catalog.racers.find((entry) => entry.name === racer.name);
  const label = choice?.label ?? racer.name;
  const inputs = (choice?.parameters ?? []).map((parameter) => racerInput(parameter, racer[parameter.name], on));
  const first = inputs.findIndex((input) => input.name === "lr");
  const rest = inputs.filter((_, i) => i !== first);
  const more = h("div.explore-more", { hidden: true }, ...rest.map((input) => input.el));
  const unfold = h(
    "button",
    { type: "button", title: "Its other numbers", "aria-label": `Other numbers of ${label}`, "aria-expanded": "false" },
    "…",
  );
  unfold.addEventListener("click", () => unfold.setAttribute("aria-expanded", String(!(more.hidden = !more.hidden))));
  unfold.style.visibility = rest.length ? "visible" : "hidden";
  const swatch = h("span.explore-swatch", { "aria-hidden": "true" });
  swatch.style.background = app.catalog.colors[racer.name] ?? "gray";
  const close = h(
    "button",
    { type: "button", title: `Remove ${label}`, "aria-label": `Remove ${label}`, onclick: on.remove },
    "×",
  );
  const line = h(
    "div.explore-racer",
    {},
    swatch,
    h("span.explore-name", {}, label),
    first < 0 ? h("span") : inputs[first].el,
    unfold,
    close,
  );
  return {
    el: h("div", { role: "listitem" }, line, more),
    /** @param {Named} now */
    set: (now) => inputs.forEach((input) => now[input.name] !== undefined && input.set(now[input.name])),
  };
}

/**
 * The input of a parameter: a slider, a box to tick, or a list.
 * @param {Parameter} parameter
 * @param {number | string | boolean | undefined} given
 * @param {{ change: (name: string, value: number | string | boolean) => void, keep: () => void }} on
 * @returns {{ name: string, el: HTMLElement, set: (value: number | string | boolean) => void }}
 */
function racerInput(parameter, given, on) {
  const { name, label, kind } = parameter;
  const value = given ?? parameter.default;
  if (kind === "flag") {
    const box = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", checked: value === true }));
    box.addEventListener("change", () => (on.change(name, box.checked), on.keep()));
    return { name, el: h("label.explore-select", {}, h("span", {}, label), box), set: (next) => (box.checked = next === true) };
  }
  if (kind === "choice") {
    const options = (parameter.choices ?? []).map((choice) => h("option", { value: choice }, choice));
    const list = /** @type {HTMLSelectElement} */ (h("select", {}, ...options));
    list.value = String(value);
    list.addEventListener("change", () => (on.change(name, list.value), on.keep()));
    return { name, el: h("label.explore-select", {}, h("span", {}, label), list), set: (next) => (list.value = String(next)) };
  }
  const slider = exploreSlider({
    label,
    title: name,
    minimum: parameter.minimum ?? 0,
    maximum: parameter.maximum ?? 1,
    value: Number(value),
    log: parameter.scale === "log",
    whole: kind === "integer",
    input: (next) => on.change(name, next),
    done: on.keep,
  });
  return { name, el: slider.el, set: (next) => slider.set(Number(next)) };
}
