/** All that can be chosen of one run: its layers, its optimizer, its loss, … */

import { h } from "./dom.js";
import { choiceField, namedField, numberField, renewed } from "./fields.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").RunState} RunState */
/** @typedef {import("./types").LayerState} LayerState */
/** @typedef {import("./types").Parameter} Parameter */
/** @typedef {import("./fields.js").Field} Field */

/** @type {Parameter} */
const BATCH_SIZE = { name: "batch_size", label: "batch size", kind: "integer", default: 10, minimum: 1, scale: "log" };
/** @type {Parameter} */
const SEED = { name: "seed", label: "seed", kind: "integer", default: 0 };
/** @type {Parameter} */
const DROPOUT = { name: "dropout", label: "dropout", kind: "number", default: 0, minimum: 0, maximum: 0.9 };
/** @type {LayerState} */
const FIRST = { units: 4, activation: "tanh", norm: null, dropout: 0, init: "default" };

/**
 * @param {App} app
 * @param {number} run
 * @returns {import("./types").View}
 */
export function controlsView(app, run) {
  const layers = layersEditor(app, run);
  const fields = runFields(app, run);
  let task = "";
  const loss = h("div");
  const el = h(
    "div.controls",
    {},
    fields.optimizer.el,
    fields.schedule.el,
    fields.batch_size.el,
    loss,
    fields.regularizer.el,
    fields.clip.el,
    fields.seed.el,
    h("h3", {}, "Hidden layers"),
    layers.el,
  );
  return {
    el,
    update() {
      const state = app.state.runs[run];
      if (!state) return;
      if (task !== taskOf(app)) {
        task = taskOf(app);
        fields.loss = lossField(app, run);
        loss.replaceChildren(fields.loss.el);
      }
      layers.set(state.layers);
      for (const [name, field] of Object.entries(fields)) field.set(state[/** @type {keyof RunState} */ (name)]);
    },
  };
}

/** @param {App} app */
function taskOf(app) {
  const set = app.catalog.datasets.find(({ name }) => name === app.state.data.kind);
  return app.points?.header.task || set?.task || "classification";
}

/**
 * @param {App} app
 * @param {number} run
 */
function lossField(app, run) {
  const choices = app.catalog.losses[taskOf(app) === "regression" ? "regression" : "classification"];
  return choiceField("loss", choices, (name) =>
    app.change((state) => {
      state.runs[run].loss = name;
    }),
  );
}

/**
 * The fields that stand for themselves; `loss` joins them, as its choices depend on the data.
 * @param {App} app
 * @param {number} run
 * @returns {Record<string, Field>}
 */
function runFields(app, run) {
  const { optimizers, schedules, regularizers, clips } = app.catalog;
  /** @param {keyof RunState} name @returns {(edit: (now: any) => any) => void} */
  const edits = (name) => (edit) =>
    void app.change((state) => {
      /** @type {any} */ (state.runs[run])[name] = edit(state.runs[run][name]);
    });
  /** @param {Parameter} parameter */
  const number = (parameter) => numberField(parameter, (value) => edits(/** @type {any} */ (parameter.name))(() => value));
  return {
    optimizer: namedField("optimizer", optimizers, null, edits("optimizer")),
    schedule: namedField("schedule", schedules, "constant", edits("schedule")),
    regularizer: namedField("regularizer", regularizers, "none", edits("regularizer")),
    clip: namedField("clip", clips, "no", edits("clip")),
    batch_size: number({ ...BATCH_SIZE, maximum: app.catalog.limits.examples }),
    seed: number(SEED),
  };
}

/**
 * The hidden layers: all of them at once, or the one that is selected.
 * @param {App} app
 * @param {number} run
 */
function layersEditor(app, run) {
  const chips = h("div.chips", { role: "group", "aria-label": "hidden layers" });
  const fields = layerFields(app, (name, value) =>
    app.change((state) => {
      const layers = state.runs[run].layers;
      const one = chosenLayer(app, run, layers);
      for (const layer of one === null ? layers : [layers[one]]) /** @type {any} */ (layer)[name] = value;
    }),
  );
  const box = h("div.layer", {}, ...Object.values(fields).map((field) => field.el));
  return {
    el: h("div", {}, chips, box),
    /** @param {LayerState[]} layers */
    set(layers) {
      const one = chosenLayer(app, run, layers);
      renewed(chips, [...layerChips(app, run, layers, one), ...layerButtons(app, run, layers, one)]);
      box.hidden = !layers.length;
      const shown = layers[one ?? 0];
      if (!shown) return;
      for (const [name, field] of Object.entries(fields)) field.set(shown[/** @type {keyof LayerState} */ (name)] ?? "");
    },
  };
}

/**
 * The hidden layer that is selected, in whatever way; null: none, so all.
 * @param {App} app
 * @param {number} run
 * @param {LayerState[]} layers
 */
function chosenLayer(app, run, layers) {
  const { selected } = app;
  return selected && selected.run === run && selected.layer < layers.length ? selected.layer : null;
}

/**
 * @param {App} app
 * @param {number} run
 * @param {LayerState[]} layers
 * @param {number | null} one
 */
function layerChips(app, run, layers, one) {
  const all = h("button.chip", { "aria-pressed": String(one === null), onclick: () => app.select(null) }, "All");
  return [
    all,
    ...layers.map((layer, i) => {
      const select = () => app.select({ run, kind: "layer", layer: i, unit: 0, input: 0 });
      const hint = `Layer ${i + 1}: ${layer.units} units, ${layer.activation}`;
      const looks = { "aria-pressed": String(one === i), "aria-label": hint, title: hint };
      return h("button.chip", { ...looks, onclick: select }, String(i + 1));
    }),
  ];
}

/**
 * @param {App} app
 * @param {number} run
 * @param {LayerState[]} layers
 * @param {number | null} one
 */
function layerButtons(app, run, layers, one) {
  const at = one ?? layers.length - 1;
  const add = () =>
    app.change((state) => {
      const now = state.runs[run].layers;
      now.splice(at + 1, 0, { ...(now[at] || FIRST) });
    });
  const remove = () => app.change((state) => void state.runs[run].layers.splice(at, 1));
  const [full, none] = [layers.length >= app.catalog.limits.layers, !layers.length];
  return [
    h("button.chip", { "aria-label": "add a layer", title: "Add a layer", disabled: full, onclick: add }, "+"),
    h("button.chip", { "aria-label": "remove a layer", title: "Remove a layer", disabled: none, onclick: remove }, "−"),
  ];
}

/**
 * @param {App} app
 * @param {(name: keyof LayerState, value: any) => void} changed
 * @returns {Record<string, Field>}
 */
function layerFields(app, changed) {
  const { activations, norms, initializers, limits } = app.catalog;
  /** @type {Parameter} */
  const units = { name: "units", label: "units", kind: "integer", default: 4, minimum: 1, maximum: limits.units };
  return {
    units: numberField(units, (value) => changed("units", value)),
    activation: choiceField("activation", activations, (name) => changed("activation", name)),
    norm: choiceField("normalize", [{ name: "", label: "no" }, ...norms], (name) => changed("norm", name || null)),
    dropout: numberField(DROPOUT, (value) => changed("dropout", value)),
    init: choiceField("initialize", initializers, (name) => changed("init", name)),
  };
}
