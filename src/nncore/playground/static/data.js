/** The data: which ones, how many, how noisy, and what the networks see of them. */

import { sheet } from "./canvas.js";
import { CLASSES, css, sequential, theme } from "./colors.js";
import { grouped, h } from "./dom.js";
import { numberField, renewed } from "./fields.js";
import { Pad } from "./pad.js";
import { textPlate } from "./pixels.js";
import { sketched } from "./sketches.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Parameter} Parameter */
/** @typedef {ReturnType<typeof theme>} Colors */

const DRAW = "Draw points of two or three classes with the mouse, a finger, or the arrow keys and Enter.";

/**
 * @param {App} app
 * @returns {import("./types").View}
 */
export function dataView(app) {
  return new DataPanel(app);
}

class DataPanel {
  #drawing = false; // on the pad, where there are too few points yet to train on
  #name = h("strong");
  #facts = h("span");
  #features = h("div.chips", { role: "group", "aria-label": "features" });

  /** @param {App} app */
  constructor(app) {
    this.app = app;
    const sets = app.catalog.datasets.filter(({ name }) => name !== "own" || app.own);
    this.thumbnails = sets.map((set) => thumbnail(set, () => this.#choose(set.name)));
    this.fields = dataFields(app);
    this.pad = new Pad(app);
    this.sees = h("div", {}, h("h4", {}, "The networks see"), this.#features);
    this.el = h(
      "div.data",
      {},
      h("div.thumbnails", { role: "group", "aria-label": "data sets" }, ...this.thumbnails.map((one) => one.el)),
      h("p.facts", {}, this.#name, ": ", this.#facts),
      this.pad.el,
      ...Object.values(this.fields).map((field) => field.el),
      this.sees,
    );
  }

  update() {
    const { app, fields } = this;
    const { data } = app.state;
    if (data.kind === "drawn") this.#drawing = false;
    const kind = this.#drawing ? "drawn" : data.kind;
    const given = kind === "own" || kind === "drawn"; // as many and as noisy as they are
    for (const one of this.thumbnails) one.show(kind, theme(app.root));
    this.#name.textContent = app.catalog.datasets.find(({ name }) => name === kind)?.label ?? kind;
    this.#facts.textContent = this.#drawing ? DRAW : factsOf(app);
    for (const [name, field] of Object.entries(fields)) field.set(/** @type {any} */ (data)[name]);
    fields.n.el.hidden = fields.noise.el.hidden = given;
    this.pad.el.hidden = kind !== "drawn";
    this.pad.update();
    const one = kind === data.kind && app.points?.header.line; // one input: there is nothing to choose
    this.sees.hidden = kind === "own" || Boolean(one) || !app.catalog.datasets.find((set) => set.name === kind)?.plane;
    renewed(
      this.#features,
      app.catalog.features.map((feature) => featureButton(app, feature)),
    );
  }

  /** @param {string} name */
  #choose(name) {
    this.#drawing = name === "drawn" && !this.app.state.data.points.length;
    if (!this.#drawing)
      this.app.change((state) => {
        const task = (/** @type {string} */ kind) => this.app.catalog.datasets.find((set) => set.name === kind)?.task;
        const [before, now] = [task(state.data.kind), task(name)];
        state.data.kind = name;
        if (now && now !== before) for (const run of state.runs) run.loss = this.app.catalog.losses[now][0].name;
      });
    this.update();
  }
}

/** @param {App} app */
function dataFields(app) {
  const maximum = app.catalog.limits.examples;
  /** @type {Parameter[]} */
  const parameters = [
    { name: "n", label: "examples", kind: "integer", default: 300, minimum: 10, maximum, scale: "log" },
    { name: "noise", label: "noise", kind: "number", default: 0.1, minimum: 0, maximum: 0.5 },
    { name: "split", label: "held back", kind: "number", default: 0.3, minimum: 0.1, maximum: 0.9 },
    { name: "seed", label: "seed", kind: "integer", default: 0 },
  ];
  /** @type {(name: string) => (value: number) => void} */
  const edit = (name) => (value) =>
    void app.change(({ data }) => {
      /** @type {any} */ (data)[name] = value;
    });
  return Object.fromEntries(parameters.map((parameter) => [parameter.name, numberField(parameter, edit(parameter.name))]));
}

/**
 * How many examples of what: the shape of the data in words.
 * @param {App} app
 */
function factsOf(app) {
  if (!app.points) return "";
  const { header, arrays } = app.points;
  const [train, held] = [arrays["train/x"]?.shape[0] || 0, arrays["validation/x"]?.shape[0] || 0];
  const count = header.inputs.length;
  const inputs = header.image ? `pictures of ${header.image.join(" × ")}` : count === 1 ? "1 input" : `${count} inputs`;
  const target = header.task === "regression" ? "a number" : `${header.classes} classes`;
  return `${grouped(train)} examples to train, ${grouped(held)} to validate; ${inputs} → ${target}`;
}

/**
 * @param {{ name: string, label: string, task: string }} set
 * @param {() => void} choose
 */
function thumbnail({ name, label, task }, choose) {
  const picture = sheet("", "thumbnail");
  picture.el.setAttribute("aria-hidden", "true");
  const sketch = sketched(name);
  const el = h("button.set", { title: label, onclick: choose }, picture.el, h("span", {}, label));
  /** @param {CanvasRenderingContext2D} g @param {number} width @param {number} height @param {Colors} colors */
  const paint = (g, width, height, colors) => {
    if (!sketch) return symbol(g, name, width, height);
    for (const [x, y, value] of sketch) {
      g.fillStyle = css(task === "regression" ? sequential(value) : CLASSES[value]);
      g.fillRect(((x + 1) / 2) * (width - 4) + 1, ((1 - y) / 2) * (height - 4) + 1, 2, 2);
    }
    g.font = "600 10px system-ui, sans-serif";
    if (name.startsWith("raw")) textPlate(g, "raw", width / 2, height / 2 + 3, colors);
  };
  return {
    el,
    /** @param {string} kind the one that is chosen @param {Colors} colors */
    show(kind, colors) {
      el.setAttribute("aria-pressed", String(kind === name));
      picture.draw((g, width, height) => paint(g, width, height, colors));
    },
  };
}

/**
 * A sign where there is no sketch.
 * @param {CanvasRenderingContext2D} g
 * @param {string} name
 * @param {number} width
 * @param {number} height
 */
function symbol(g, name, width, height) {
  const signs = /** @type {Record<string, string>} */ ({ drawn: "✎", own: "X, y", digits: "3 8" });
  g.font = `600 ${Math.round(height * 0.36)}px system-ui, sans-serif`;
  g.textAlign = "center";
  g.textBaseline = "middle";
  g.fillStyle = css(CLASSES[1]);
  g.fillText(signs[name] || name.slice(0, 2), width / 2, height / 2, width - 4);
}

/**
 * A feature that the networks see, or not; one of them at least.
 * @param {App} app
 * @param {{ name: string, label: string }} feature
 */
function featureButton(app, { name, label }) {
  const on = app.state.data.features.includes(name);
  const toggle = () =>
    app.change(({ data }) => {
      const left = app.catalog.features.filter((one) => data.features.includes(one.name) !== (one.name === name));
      if (left.length) data.features = left.map((one) => one.name);
      else app.say("The networks must see something");
    });
  return h("button.chip", { "aria-pressed": String(on), onclick: toggle }, label);
}
