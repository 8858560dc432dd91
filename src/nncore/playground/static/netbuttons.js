/** The buttons over a network: more or fewer units, another layer, one layer less. */

import { h } from "./dom.js";
import { ROOMY } from "./netlayout.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").LayerState} LayerState */
/** @typedef {import("./netlayout.js").Layout} Layout */
/**
 * @typedef {{ key: string, text: string, label: string, x: number, y: number, off: boolean,
 *   edit: (layers: LayerState[]) => void }} Button
 */

/**
 * @param {Layout} layout
 * @param {App["catalog"]["limits"]} limits
 * @returns {Button[]}
 */
function buttonsOver(layout, limits) {
  const hidden = layout.columns.slice(1, -1);
  const full = hidden.length >= limits.layers;
  const reach = layout.step < ROOMY ? 11 : 24;
  const addY = layout.step < 112 ? 84 : 58;
  const added = layout.columns.slice(0, -1).map(({ x }, i) => adder(i, (x + layout.columns[i + 1].x) / 2, addY, full));
  const own = hidden.flatMap(({ x, units }, i) => [
    layerButton(`less ${i}`, "−", `Layer ${i + 1}: one unit less`, x - reach, 58, units <= 1, (layers) => layers[i].units--),
    layerButton(
      `more ${i}`,
      "+",
      `Layer ${i + 1}: one unit more`,
      x + reach,
      58,
      units >= limits.units,
      (layers) => layers[i].units++,
    ),
    layerButton(`remove ${i}`, "×", `Remove layer ${i + 1}`, x + (layout.step < 96 ? 14 : 42), 11, false, (layers) =>
      layers.splice(i, 1),
    ),
  ]);
  return [...own, ...added];
}

/**
 * @param {string} key
 * @param {string} text
 * @param {string} label
 * @param {number} x
 * @param {number} y
 * @param {boolean} off
 * @param {(layers: LayerState[]) => void} edit
 * @returns {Button}
 */
function layerButton(key, text, label, x, y, off, edit) {
  return { key, text, label, x, y, off, edit };
}

/**
 * Adds a copy of the layer on its left, or of the first.
 * @param {number} at
 * @param {number} x
 * @param {number} y
 * @param {boolean} full
 */
function adder(at, x, y, full) {
  return layerButton(`add ${at}`, "+", `Add a layer here (number ${at + 1})`, x, y, full, (layers) => {
    const copy = layers[Math.max(0, at - 1)] ?? { units: 4, activation: "tanh", norm: null, dropout: 0, init: "default" };
    layers.splice(at, 0, { ...copy });
  });
}

/**
 * Buttons keep their element as long as they exist, so that the keyboard's focus stays.
 * @param {App} app
 * @param {number} run
 */
export function networkButtons(app, run) {
  const el = h("div", { class: "net-buttons" });
  /** @type {Map<string, HTMLButtonElement>} */
  const made = new Map();

  /** @param {Button} what */
  function make(what) {
    const made = h(
      `button.net-${what.key.split(" ")[0]}`,
      { type: "button", title: what.label, "aria-label": what.label },
      what.text,
    );
    made.addEventListener("click", () => void app.change((state) => what.edit(state.runs[run].layers)));
    el.append(made);
    return /** @type {HTMLButtonElement} */ (made);
  }
  return {
    el,
    /** @param {Layout} layout */
    place(layout) {
      const wanted = buttonsOver(layout, app.catalog.limits);
      for (const key of [...made.keys()].filter((key) => !wanted.some((what) => what.key === key))) {
        made.get(key)?.remove();
        made.delete(key);
      }
      for (const what of wanted) {
        const element = made.get(what.key) ?? make(what);
        made.set(what.key, element);
        element.disabled = what.off;
        element.style.translate = `${Math.round(what.x)}px ${what.y}px`;
      }
    },
  };
}
