/** What the network says about every point of the plane, or about every picture. */

import { sheet } from "./canvas.js";
import { theme } from "./colors.js";
import { h, short } from "./dom.js";
import { gridSize, pictureGrid, predictedClasses } from "./mapgrid.js";
import { mapPixels, mapPlane, paintMap, pixelShares } from "./mapplane.js";
import { examplePixel, mapExamples } from "./mappoints.js";
import { hoverTip, onOff } from "./parts.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Message<import("./types").Frame>} FrameMessage */
/** @typedef {import("./mapplane.js").MapScene} MapScene */

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
  const select = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": i ? "Vertical axis" : "Horizontal axis" }, ...options));
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
  const { plane, inputs } = /** @type {import("./types").Points} */ (app.points?.header);
  return plane && app.state.data.features.length ? ["x₁", "x₂"] : axes.map((axis) => inputs[axis] ?? "");
}

/**
 * What the map spans: of data that are not in the plane the ranges of the two inputs.
 * @param {NonNullable<App["points"]>} points
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

/**
 * The example next to a place.
 * @param {MapScene} scene
 * @param {"train" | "validation"} part
 * @param {number} x
 * @param {number} y
 */
function nearestExample(scene, part, x, y) {
  const places = scene.points.arrays[`${part}/x`];
  let [found, closest] = [-1, 10];
  for (let row = 0; row < places.shape[0]; row++) {
    const [left, top] = examplePixel(scene, places, row);
    const distance = Math.hypot(left - x, top - y);
    if (distance < closest) [found, closest] = [row, distance];
  }
  return found < 0 ? null : found;
}

/**
 * What the network says at a place, in words.
 * @param {MapScene} scene
 * @param {{ shape: number[], data: ArrayLike<number> }} map
 * @param {number} x
 * @param {number} y
 * @returns {string[]}
 */
function placeText(scene, map, x, y) {
  const { left, top, side, box } = scene.plane;
  const [across, down] = [(x - left) / side, (y - top) / side];
  if (across < 0 || across >= 1 || down < 0 || down >= 1) return [];
  const [classes, rows, columns] = map.shape;
  const shares = pixelShares(map.data, classes, rows * columns, Math.floor(down * rows) * columns + Math.floor(across * columns));
  const [x1, x2] = [box[0] + across * (box[1] - box[0]), box[3] - down * (box[3] - box[2])];
  const place = `${scene.names[0]} = ${x1.toFixed(2)}, ${scene.names[1]} = ${x2.toFixed(2)}`.replaceAll("-", "−");
  const { task, labels } = scene.points.header;
  if (task === "regression") {
    const output = scene.range[0] + shares[shares.length - 1] * (scene.range[1] - scene.range[0]);
    return [place, `output ${short(output)}`, ...exampleText(scene, x, y, (target) => `error ${short(output - target)}`)];
  }
  const order = shares.map((_, c) => c).sort((a, b) => shares[b] - shares[a]).slice(0, 3);
  const said = order.map((c) => `P(${labels[c] ?? c}) = ${shares[c].toFixed(2)}`);
  const loss = (/** @type {number} */ target) => `−ln P = ${shares[target] > 0 ? (-Math.log(shares[target])).toFixed(2) : "∞"}`;
  return [place, ...said, ...exampleText(scene, x, y, loss)];
}

/**
 * @param {MapScene} scene
 * @param {number} x
 * @param {number} y
 * @param {(target: number) => string} judge
 */
function exampleText(scene, x, y, judge) {
  for (const part of /** @type {const} */ (["train", "validation"])) {
    const row = part === "train" || scene.validation ? nearestExample(scene, part, x, y) : null;
    if (row === null) continue;
    const target = scene.points.arrays[`${part}/y`].data[row];
    const name = scene.points.header.task === "regression" ? short(target) : `class ${scene.points.header.labels[target] ?? target}`;
    return [`${part === "train" ? "training" : "validation"} example ${row + 1}: ${name}, ${judge(target)}`];
  }
  return [];
}

/**
 * @param {App} app
 * @param {number} run
 * @returns {import("./types").View & { axes: [number, number] }}
 */
export function mapView(app, run) {
  const canvas = sheet("The outputs of the network over the plane, and the examples. Arrow keys go from example to example.", "map-canvas");
  canvas.el.tabIndex = 0;
  canvas.el.setAttribute("role", "application"); // it has keys of its own
  /** @type {[number, number]} */
  const axes = [0, 1];
  const shown = { validation: false, discrete: false, wrong: false };
  const [pixels, examples, grid, bubble] = [mapPixels(), mapExamples(), pictureGrid(), hoverTip()];
  const chooser = axesChooser(axes, draw);
  const tools = ["validation", "discrete", "wrong"].map((name, i) =>
    onOff(["Validation examples", "Discretize", "Only wrong ones"][i], false, (on) => {
      Object.assign(shown, { [name]: on });
      draw();
    }),
  );
  const title = h("span.map-title");
  const el = h("div.play-map", {}, h("div.play-tools", {}, ...tools, chooser.el, title), h("div.map-stage", {}, canvas.el, bubble.el));
  /** @type {FrameMessage | null} */
  let last = null;
  /** @type {MapScene | null} */
  let scene = null;

  function draw() {
    if (!last?.header.runs[run] || !app.points || !canvas.el.clientWidth) return;
    const [map, outputs] = [last.arrays[`${run}/map`], last.arrays[`${run}/outputs`]];
    const { inputs, plane, image } = app.points.header;
    const pictures = Boolean(image && outputs);
    tools.forEach((tool, i) => (tool.hidden = pictures !== (i === 2)));
    chooser.update(plane || image || inputs.length < 3 ? [] : inputs);
    title.textContent = "";
    scene = null;
    if (pictures) drawPictures(predictedClasses(outputs));
    else if (map) drawPlane(map);
    else title.textContent = "No map of these data.";
  }
  /** @param {{ shape: number[], data: any }} map */
  function drawPlane(map) {
    const points = /** @type {NonNullable<App["points"]>} */ (app.points);
    const plane = mapPlane(canvas.el.clientWidth, points.header.task === "regression", shownBox(points, axes));
    const { range, batch } = /** @type {FrameMessage} */ (last).header.runs[run];
    const chosen = app.example ?? batch?.[0] ?? null;
    const now = { plane, colors: theme(app.root), points, names: axisNames(app, axes), axes, ...shown, range, chosen, batch: batch ?? [] };
    canvas.el.style.height = `${plane.side + plane.top + 38}px`;
    canvas.draw((g) => paintMap(g, now, map, pixels.of(map, now), examples));
    scene = now;
  }
  /** @param {number[]} predicted */
  function drawPictures(predicted) {
    const points = /** @type {NonNullable<App["points"]>} */ (app.points);
    const targets = points.arrays["validation/y"].data;
    const wrong = predicted.map((_, row) => row).filter((row) => predicted[row] !== targets[row]);
    const rows = shown.wrong ? wrong : predicted.map((_, row) => row);
    canvas.el.style.height = `${gridSize(canvas.el.clientWidth, predicted.length).height}px`;
    canvas.draw((g, width) => grid.draw(g, width, points, predicted, rows, theme(app.root)));
    title.textContent = `Validation: ${predicted.length - wrong.length} of ${predicted.length} right. Predicted class; if wrong, ≠ the true one.`;
  }
  /** @param {KeyboardEvent} event */
  function key(event) {
    if (event.key === "Escape") return app.choose(null);
    const way = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    const count = app.points?.arrays["train/y"].shape[0];
    if (!way || !count || !scene) return;
    event.preventDefault();
    app.choose(app.example === null ? 0 : (app.example + way + count) % count);
  }
  canvas.el.addEventListener("pointermove", ({ offsetX: x, offsetY: y }) => {
    const map = last?.arrays[`${run}/map`];
    bubble.show(scene && map ? placeText(scene, map, x, y) : [], x, y, canvas.el.clientWidth);
  });
  canvas.el.addEventListener("pointerleave", () => bubble.show([], 0, 0, 0));
  canvas.el.addEventListener("click", ({ offsetX: x, offsetY: y }) => scene && app.choose(nearestExample(scene, "train", x, y)));
  canvas.el.addEventListener("keydown", key);
  const resized = new ResizeObserver(draw);
  resized.observe(el);
  return {
    el,
    axes,
    update: draw,
    paint(frame) {
      last = frame;
      draw();
    },
    close: () => resized.disconnect(),
  };
}
