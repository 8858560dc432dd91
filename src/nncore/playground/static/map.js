/** What the network says about every point of the plane, or about every picture. */

import { sheet } from "./canvas.js";
import { theme } from "./colors.js";
import { h } from "./dom.js";
import { inputNames } from "./features.js";
import { gridSize, pictureGrid, predictedClasses } from "./mapgrid.js";
import { mapPixels, mapPlane, paintMap, unitPixels } from "./mapplane.js";
import { mapExamples } from "./mappoints.js";
import { nearestExample, placeText } from "./maptext.js";
import { hoverTip, onOff } from "./parts.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Message<import("./types").Frame>} FrameMessage */
/** @typedef {import("./mapplane.js").MapScene} MapScene */
/** @typedef {MapScene["points"]} PointsMessage */

/**
 * Which two inputs the map shows, for data of more than two.
 * @param {[number, number]} axes
 * @param {() => void} changed
 */
function axesChooser(axes, changed) {
  const el = h("span.map-axes", { hidden: true });
  let known = "";
  return {
    el,
    /** @param {string[]} names none: there is nothing to choose */
    update(names) {
      el.hidden = !names.length;
      if (!names.length) [axes[0], axes[1]] = [0, 1];
      if (known === names.join("\n")) return;
      known = names.join("\n");
      el.replaceChildren(...axes.map((_, i) => axisSelect(names, axes, i, changed)));
    },
  };
}

/**
 * @param {string[]} names
 * @param {[number, number]} axes
 * @param {number} i
 * @param {() => void} changed
 */
function axisSelect(names, axes, i, changed) {
  const options = names.map((name, at) => h("option", { value: String(at), selected: at === axes[i] }, name));
  const select = /** @type {HTMLSelectElement} */ (
    h("select", { "aria-label": i ? "Vertical axis" : "Horizontal axis" }, ...options)
  );
  select.addEventListener("change", () => {
    axes[i] = Number(select.value);
    changed();
  });
  return select;
}

/**
 * @param {App} app
 * @param {[number, number]} axes
 */
function axisNames(app, axes) {
  const { plane, inputs, line } = /** @type {import("./types").Points} */ (app.points?.header);
  if (line) return [inputNames(app)[0], "y"];
  return plane && app.state.data.features.length ? ["x₁", "x₂"] : axes.map((axis) => inputs[axis] ?? "");
}

/**
 * What the map spans: of data that are not in the plane the ranges of the two inputs.
 * @param {PointsMessage} points
 * @param {[number, number]} axes
 * @returns {[number, number, number, number]}
 */
function shownBox({ header, arrays }, axes) {
  if (header.plane) return header.box;
  const { shape, data } = arrays["train/x"];
  const [low, high] = [axes.map(() => Infinity), axes.map(() => -Infinity)];
  for (let at = 0; at < data.length; at += shape[1]) {
    axes.forEach((axis, i) => {
      low[i] = Math.min(low[i], data[at + axis]);
      high[i] = Math.max(high[i], data[at + axis]);
    });
  }
  return [low[0], high[0], low[1], high[1]];
}

class MapPanel {
  /** @type {[number, number]} the two inputs of the map */
  axes = [0, 1];
  /** @type {FrameMessage | null} */
  #last = null;
  /** @type {MapScene | null} none: there is no map but pictures */
  #scene = null;
  #shown = { validation: false, discrete: false, wrong: false };
  #canvas = sheet(
    "The network's outputs over the plane, and the examples. Arrow keys go from example to example.",
    "map-canvas",
  );
  #pixels = mapPixels();
  #examples = mapExamples();
  #grid = pictureGrid();
  #bubble = hoverTip();
  #title = h("span.map-title");
  #tools = [
    this.#tool("Validation examples", "validation"),
    this.#tool("Discretize", "discrete"),
    this.#tool("Only wrong ones", "wrong"),
  ];
  #chooser = axesChooser(this.axes, () => this.update());
  #resized = new ResizeObserver(() => this.update());

  /**
   * @param {App} app
   * @param {number} run
   */
  constructor(app, run) {
    this.app = app;
    this.run = run;
    const tools = h("div.play-tools", {}, ...this.#tools, this.#chooser.el, this.#title);
    this.el = h("div.play-map", {}, tools, h("div.map-stage", {}, this.#canvas.el, this.#bubble.el));
    this.#resized.observe(this.el);
    this.#listen(this.#canvas.el);
  }

  /**
   * @param {string} text
   * @param {"validation" | "discrete" | "wrong"} name
   */
  #tool(text, name) {
    return onOff(text, false, (on) => {
      this.#shown[name] = on;
      this.update();
    });
  }

  /** @param {HTMLCanvasElement} el */
  #listen(el) {
    el.tabIndex = 0;
    el.setAttribute("role", "application"); // it has keys of its own
    el.addEventListener("pointermove", ({ offsetX: x, offsetY: y }) => {
      const map = this.#last?.arrays[`${this.run}/map`];
      this.#bubble.show(this.#scene && map ? placeText(this.#scene, map, x, y) : [], x, y, el.clientWidth);
    });
    el.addEventListener("pointerleave", () => this.#bubble.show([], 0, 0, 0));
    el.addEventListener("click", ({ offsetX: x, offsetY: y }) => {
      if (this.#scene) this.app.choose(nearestExample(this.#scene, "train", x, y));
    });
    el.addEventListener("keydown", (event) => this.#key(event));
  }

  update() {
    const { points } = this.app;
    if (!this.#last?.header.runs[this.run] || !points || !this.#canvas.el.clientWidth) return;
    const [map, outputs] = ["map", "outputs"].map((name) => this.#last?.arrays[`${this.run}/${name}`]);
    const { inputs, plane, image, line } = points.header;
    const pictures = Boolean(image && outputs);
    this.#tools.forEach((tool, i) => (tool.hidden = pictures !== (i === 2) || (line && i === 1)));
    this.#chooser.update(plane || image || inputs.length < 3 ? [] : inputs);
    this.#title.textContent = pictures || map ? "" : "No map of these data.";
    this.#scene = null;
    if (image && outputs) this.#drawPictures(points, predictedClasses(outputs));
    else if (map) this.#drawPlane(points, map);
  }

  /**
   * @param {PointsMessage} points
   * @param {{ shape: number[], data: any }} map
   */
  #drawPlane(points, map) {
    const { app, axes } = this;
    const { range, batch } = /** @type {FrameMessage} */ (this.#last).header.runs[this.run];
    const plane = mapPlane(
      this.#canvas.el.clientWidth,
      points.header.task === "regression" && !points.header.line,
      shownBox(points, axes),
    );
    const chosen = app.example ?? batch?.[0] ?? null;
    const names = axisNames(app, axes);
    const unit = this.#hoveredUnit();
    const line = unit ? null : (this.#last?.arrays[`${this.run}/line`]?.data ?? null);
    const marked = { chosen, batch: batch ?? [], title: unit?.title ?? "" };
    const scene = { plane, colors: theme(app.root), points, names, axes, ...this.#shown, range, line, ...marked };
    this.#canvas.el.style.height = `${plane.side + plane.top + 38}px`;
    const pixels = unit ? unitPixels(unit.data, scene.colors.ground) : this.#pixels.of(map, scene);
    this.#canvas.draw((g) => paintMap(g, scene, unit ?? map, pixels, this.#examples));
    this.#scene = scene;
  }

  /** The unit that the mouse is at: it is shown in place of the network's output. */
  #hoveredUnit() {
    const { hovered } = this.app;
    const units = this.#last?.arrays[`${this.run}/units`];
    const layers = this.#last?.header.runs[this.run].layers ?? [];
    if (!units || hovered?.kind !== "unit" || hovered.run !== this.run || hovered.layer >= layers.length) return null;
    const index = layers.slice(0, hovered.layer).reduce((sum, layer) => sum + layer.units, hovered.unit);
    const [, rows, columns] = units.shape;
    const output = hovered.layer === layers.length - 1;
    const title = output ? `z of output ${hovered.unit + 1}` : `h of unit ${hovered.unit + 1}, layer ${hovered.layer + 1}`;
    const data = units.data.subarray(index * rows * columns, (index + 1) * rows * columns);
    return { shape: [1, rows, columns], data, title };
  }

  /**
   * @param {PointsMessage} points
   * @param {number[]} predicted
   */
  #drawPictures(points, predicted) {
    const targets = points.arrays["validation/y"].data;
    const all = predicted.map((_, row) => row);
    const wrong = all.filter((row) => predicted[row] !== targets[row]);
    this.#canvas.el.style.height = `${gridSize(this.#canvas.el.clientWidth, predicted.length).height}px`;
    this.#canvas.draw((g, width) => {
      this.#grid.draw(g, width, points, predicted, this.#shown.wrong ? wrong : all, theme(this.app.root));
    });
    const right = `Validation: ${all.length - wrong.length} of ${all.length} right.`;
    this.#title.textContent = `${right} Below: the predicted class; if wrong, ≠ the true one.`;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === "Escape") this.app.choose(null);
    const way = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const count = this.app.points?.arrays["train/y"].shape[0];
    if (!way || !count || !this.#scene) return;
    event.preventDefault();
    this.app.choose(this.app.example === null ? 0 : (this.app.example + way + count) % count);
  }

  /** @param {FrameMessage} frame */
  paint(frame) {
    this.#last = frame;
    this.update();
  }

  close() {
    this.#resized.disconnect();
  }
}

/**
 * @param {App} app
 * @param {number} run
 * @returns {import("./types").View & { axes: [number, number] }}
 */
export function mapView(app, run) {
  return new MapPanel(app, run);
}
