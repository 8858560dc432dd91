/** Fields of forms: each shows a value (`set`) and says when the user has chosen another one. */

import { h } from "./dom.js";

/** @typedef {import("./types").Parameter} Parameter */
/** @typedef {import("./types").Choice} Choice */
/** @typedef {import("./types").Named} Named */
/** @typedef {{ el: HTMLElement, set(value: any): void }} Field */
/** @typedef {{ name: string, label: string, formula?: string }} Option */

/**
 * @param {string} label
 * @param {Option[]} options
 * @param {(name: string) => void} changed
 * @returns {Field}
 */
export function choiceField(label, options, changed) {
  const entries = options.map((option) => h("option", { value: option.name }, option.label));
  const select = /** @type {HTMLSelectElement} */ (
    h("select", { "aria-label": label, onchange: () => changed(select.value) }, ...entries)
  );
  return {
    el: h("label.field", {}, h("span.name", {}, label), select),
    set(name) {
      select.value = name;
      select.title = options.find((option) => option.name === name)?.formula || "";
    },
  };
}

/**
 * @param {string} label
 * @param {string} hint
 * @param {(on: boolean) => void} changed
 * @returns {Field}
 */
export function flagField(label, hint, changed) {
  const box = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", onchange: () => changed(box.checked) }));
  return {
    el: h("label.field.flag", { title: hint }, h("span.name", {}, label), box),
    set: (on) => (box.checked = on),
  };
}

/**
 * From the position of a slider, 0 … 1, to the number, and back.
 * @param {Parameter} parameter with its limits
 */
export function scaled({ minimum = 0, maximum = 1, scale, kind }) {
  const whole = kind === "integer";
  if (scale === "log" && minimum > 0) {
    const width = Math.log(maximum / minimum);
    return {
      number: (/** @type {number} */ at) => rounded(minimum * Math.exp(at * width), whole),
      at: (/** @type {number} */ number) => Math.log(Math.max(number, minimum) / minimum) / width, // 0 is at the left end
    };
  }
  const width = maximum - minimum;
  return {
    number: (/** @type {number} */ at) => rounded(minimum + at * width, whole),
    at: (/** @type {number} */ number) => (number - minimum) / width,
  };
}

/**
 * As precise as a slider is, so that one can read it.
 * @param {number} number
 * @param {boolean} whole
 */
function rounded(number, whole) {
  return whole ? Math.round(number) : Number(number.toPrecision(number > 0.9 && number < 1 ? 3 : 2));
}

/**
 * A slider and the number beside it; without limits the number alone.
 * @param {Parameter} parameter
 * @param {(value: number) => void} changed
 * @returns {Field}
 */
export function numberField(parameter, changed) {
  const { name, label, minimum, maximum } = parameter;
  const hint = label === name ? name : `${label}: ${name}`;
  const { number, at } = scaled(parameter);
  let last = 0;
  let typing = false; // what comes from elsewhere meanwhile must not overwrite it
  const typed = () => {
    typing = false;
    if (box.value === "") box.value = String(last);
    else changed(Number(box.value));
  };
  const moved = () => {
    box.value = String(number(Number(slider.value)));
    changed(Number(box.value));
  };
  const box = inputOf("number", hint, { step: parameter.kind === "integer" ? "1" : "any", onchange: typed });
  box.addEventListener("input", () => (typing = true));
  box.addEventListener("blur", () => (typing = false));
  const slider = inputOf("range", `${hint}, slider`, { min: "0", max: "1", step: sliderStep(parameter), oninput: moved });
  const bounded = minimum !== undefined && maximum !== undefined;
  return {
    el: h("div.field.number", { title: hint }, h("span.name", {}, label), bounded ? slider : null, box),
    set(value) {
      last = value;
      if (!typing && (Number(box.value) !== value || box.value === "")) box.value = String(value);
      if (number(Number(slider.value)) !== value) slider.value = String(at(value)); // else it stays where the mouse is
    },
  };
}

/**
 * @param {string} type
 * @param {string} label
 * @param {Record<string, any>} attributes
 */
function inputOf(type, label, attributes) {
  return /** @type {HTMLInputElement} */ (h("input", { type, "aria-label": label, ...attributes }));
}

/** @param {Parameter} parameter */
function sliderStep({ minimum = 0, maximum = 1, scale, kind }) {
  return String(kind === "integer" && scale !== "log" ? 1 / Math.max(1, maximum - minimum) : 0.001);
}

/**
 * @param {Parameter} parameter
 * @param {(value: any) => void} changed
 * @returns {Field}
 */
export function parameterField(parameter, changed) {
  const { kind, label, name, choices = [] } = parameter;
  if (kind === "flag") return flagField(label, name, changed);
  if (kind === "choice")
    return choiceField(
      label,
      choices.map((choice) => ({ name: choice, label: choice })),
      changed,
    );
  return numberField(kind === "fraction" ? { minimum: 0, maximum: 1, ...parameter } : parameter, changed);
}

/**
 * A choice with all of its parameters.
 * @param {string} label
 * @param {Choice[]} choices
 * @param {string | null} none what it is called to have none of them; null: one must be chosen
 * @param {(edit: (now: Named | null) => Named | null) => void} changed
 * @returns {Field}
 */
export function namedField(label, choices, none, changed) {
  const options = none === null ? choices : [{ name: "", label: none }, ...choices];
  const select = choiceField(label, options, (name) => changed(() => fresh(choices, name)));
  const box = h("div.parameters");
  let fields = parameterFields([], changed);
  let shown = "";
  return {
    el: h("div.named", {}, select.el, box),
    set(/** @type {Named | null} */ named) {
      const name = named ? named.name : "";
      select.set(name);
      if (name !== shown) {
        fields = parameterFields(choices.find((choice) => choice.name === name)?.parameters || [], changed);
        box.replaceChildren(...Object.values(fields).map((field) => field.el));
      }
      shown = name;
      for (const [key, field] of Object.entries(fields)) field.set(named?.[key]);
    },
  };
}

/**
 * @param {Parameter[]} parameters
 * @param {(edit: (now: Named | null) => Named | null) => void} changed
 * @returns {Record<string, Field>}
 */
function parameterFields(parameters, changed) {
  return Object.fromEntries(
    parameters.map((parameter) => {
      const edit = (/** @type {any} */ value) => changed((now) => now && { ...now, [parameter.name]: value });
      return [parameter.name, parameterField(parameter, edit)];
    }),
  );
}

/**
 * A choice with the defaults of its parameters.
 * @param {Choice[]} choices
 * @param {string} name
 * @returns {Named | null}
 */
function fresh(choices, name) {
  const choice = choices.find((one) => one.name === name);
  if (!choice) return null;
  return { name, ...Object.fromEntries(choice.parameters.map((parameter) => [parameter.name, parameter.default])) };
}

/**
 * Other buttons in the place of a row of them; the focus stays at its place in the row.
 * @param {HTMLElement} row
 * @param {HTMLElement[]} buttons
 */
export function renewed(row, buttons) {
  const focused = Array.from(row.children).findIndex((child) => child === document.activeElement);
  row.replaceChildren(...buttons);
  if (focused >= 0) buttons[Math.min(focused, buttons.length - 1)].focus();
}
