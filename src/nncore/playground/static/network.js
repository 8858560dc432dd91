/** The network: its units as pictures, its weights as lines, and buttons that change it. */

import { sheet } from "./canvas.js";
import { theme } from "./colors.js";
import { h, short } from "./dom.js";
import { inputNames, inputPictures, inputValues } from "./features.js";
import { networkButtons } from "./netbuttons.js";
import { leastWidth, neighbor, networkLayout, underPoint, unitY } from "./netlayout.js";
import { paintNetwork } from "./netpaint.js";
import { described } from "./nettip.js";
import { hoverTip } from "./parts.js";
import { atlas, grayTable, signBytes, signTable } from "./pixels.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Inspect} Inspect */
/** @typedef {import("./types").Message<import("./types").Frame>} FrameMessage */
/** @typedef {import("./netpaint.js").Scene} Scene */

const PHASES = ["forward", "loss", "backward", "update"];

/**
 * Three buffers of pictures: of units, of the first layer's weights, of the inputs.
 * @param {App} app
 * @param {number} run
 */
function networkPictures(app, run) {
  const [units, weights, seen] = [atlas(), atlas(), atlas()];
  let drawn = "";
  /** @type {unknown} */
  let painted = null;

  /**
   * @param {ReturnType<typeof theme>} colors
   * @param {number} row
   */
  function inputs(colors, row) {
    const image = app.points?.header.image;
    const x = app.points?.arrays["train/x"];
    if (image && x) {
      const picture = x.data.subarray(row * x.shape[1], (row + 1) * x.shape[1]);
      const most = Math.max(...picture) || 1;
      seen.fill(Uint8Array.from(picture, (value) => (255 * value) / most), 1, image[0], image[1], grayTable(colors.dark));
      return;
    }
    const { bytes, count, side } = inputPictures(app);
    if (count) seen.fill(bytes, count, side, side, signTable(colors.ground));
  }
  return {
    /** @param {FrameMessage} frame */
    of(frame) {
      const colors = theme(app.root);
      const [planes, images] = [frame.arrays[`${run}/units`], frame.arrays[`${run}/images`]];
      const row = app.example ?? frame.header.runs[run].batch?.[0] ?? 0;
      const key = [colors.dark, frame.header.start, row, inputNames(app)].join();
      if (painted !== frame || drawn !== key) {
        const table = signTable(colors.ground);
        if (planes) units.fill(planes.data, planes.shape[0], planes.shape[1], planes.shape[2], table);
        if (images) weights.fill(signBytes(images.data), images.shape[0], images.shape[1], images.shape[2], table);
      }
      if (drawn !== key) inputs(colors, row);
      [painted, drawn] = [frame, key];
      const plane = app.points?.header.plane || app.points?.header.image;
      return { units: planes ? units : null, weights: images ? weights : null, seen: plane ? seen : null };
    },
  };
}

/**
 * Two lines below the title of each column.
 * @param {App} app
 * @param {import("./types").FrameLayer[]} layers
 * @returns {[string, string][]}
 */
function columnTexts(app, layers) {
  /** @type {[string, string][]} */
  const texts = layers.map(({ activation, norm, dropout }) => [
    app.catalog.activations.find(({ name }) => name === activation)?.label ?? activation,
    [norm && (app.catalog.norms.find(({ name }) => name === norm)?.label ?? norm), dropout ? `dropout ${short(dropout)}` : null]
      .filter(Boolean).join(" · "),
  ]);
  const image = app.points?.header.image;
  return [[image ? `${image[0]} × ${image[1]} pixels` : "", ""], ...texts];
}

/**
 * @param {App} app
 * @param {number} run
 * @param {FrameMessage} frame
 * @param {number} width
 * @param {ReturnType<ReturnType<typeof networkPictures>["of"]>} pictures
 * @param {Inspect | null} focus
 * @returns {Scene}
 */
function networkScene(app, run, frame, width, pictures, focus) {
  const { layers, phase, batch, scales } = frame.header.runs[run];
  const { arrays } = frame;
  const picture = Boolean(app.points?.header.image);
  const chosen = app.example ?? batch?.[0] ?? null;
  const pinned = app.selected?.run === run ? app.selected : null;
  return {
    layout: networkLayout(width, [layers[0].inputs, ...layers.map(({ units }) => units)], picture),
    layers, scales, ...pictures, focus: focus ?? pinned, pinned,
    texts: columnTexts(app, layers), inputs: inputNames(app), labels: app.points?.header.labels ?? [],
    theta: arrays[`${run}/theta`].data, grad: arrays[`${run}/grad`]?.data ?? null, example: arrays[`${run}/example`]?.data ?? null,
    given: chosen === null ? null : inputValues(app, chosen), phase: batch || phase !== "update" ? phase : null,
    colors: theme(app.root),
  };
}

/** @type {Record<string, string>} */
const PHASE_NOTES = {
  forward: "In the units: z and h of the example.",
  loss: "The loss of the batch, from the outputs and the targets.",
  backward: "In the units: δ = ∂l/∂z of the example. Lines: ∂l/∂w of the batch.",
  update: "The optimizer has changed the weights.",
};

/** The four phases of a step, the present one large. */
function phaseStrip() {
  const el = h("ol.play-phases", { hidden: true, "aria-label": "Phase of the step" });
  const items = PHASES.map((phase) => h("li", {}, phase[0].toUpperCase() + phase.slice(1)));
  const note = h("p.phase-note", { hidden: true });
  el.append(...items);
  return {
    els: [el, note],
    /**
     * @param {string | null} phase
     * @param {number} loss
     */
    show(phase, loss) {
      el.hidden = note.hidden = phase === null;
      note.textContent = PHASE_NOTES[phase ?? "update"];
      items.forEach((item, i) => (phase === PHASES[i] ? item.setAttribute("aria-current", "step") : item.removeAttribute("aria-current")));
      items[1].textContent = phase === "loss" ? `Loss ${short(loss)}` : "Loss";
    },
  };
}

/**
 * @param {App} app
 * @param {number} run
 * @returns {import("./types").View}
 */
export function networkView(app, run) {
  const canvas = sheet("The network: inputs, layers and outputs. Arrow keys go from unit to unit, Enter pins one.", "net-canvas");
  canvas.el.tabIndex = 0;
  canvas.el.setAttribute("role", "application"); // it has keys of its own
  const [buttons, bubble, phases, pictures] = [networkButtons(app, run), hoverTip(), phaseStrip(), networkPictures(app, run)];
  const stage = h("div.net-stage", {}, canvas.el, buttons.el);
  const el = h("div.play-network", {}, stage, ...phases.els, bubble.el);
  /** @type {FrameMessage | null} */
  let last = null;
  /** @type {Scene | null} */
  let scene = null;
  /** @type {Inspect | null} what the mouse or the arrow keys are at */
  let focus = null;
  let [x, y] = [0, 0];

  function draw() {
    if (!last?.header.runs[run] || !canvas.el.clientWidth) return;
    canvas.el.style.minWidth = `${leastWidth(last.header.runs[run].layers.length + 1)}px`;
    const width = canvas.el.clientWidth;
    scene = networkScene(app, run, last, width, pictures.of(last), focus);
    canvas.el.style.height = `${scene.layout.height}px`;
    const shown = scene;
    canvas.draw((g) => paintNetwork(g, shown));
    buttons.place(scene.layout);
    phases.show(scene.phase, last.header.runs[run].loss);
    tell();
  }
  function tell() {
    bubble.show(focus && scene ? described(scene, focus) : [], x - stage.scrollLeft, y, stage.clientWidth);
  }
  /** @param {Inspect | null} what */
  function look(what) {
    const moved = JSON.stringify(what) !== JSON.stringify(focus);
    focus = what;
    if (moved) draw();
  }
  /** @param {KeyboardEvent} event */
  function key(event) {
    if (!scene) return;
    if (event.key === "Escape") return [look(null), app.select(null)];
    if (event.key === "Enter" && focus) return app.select(focus);
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const next = neighbor(scene.layout, focus ?? scene.pinned, event.key, run);
    [x, y] = [scene.layout.columns[next.layer + 1].x, next.kind === "layer" ? 20 : unitY(scene.layout, next.layer + 1, next.unit)];
    look(next);
  }
  canvas.el.addEventListener("pointermove", (event) => {
    [x, y] = [event.offsetX, event.offsetY];
    if (scene) look(underPoint(scene.layout, x, y, run));
    canvas.el.style.cursor = focus ? "pointer" : "";
    tell();
  });
  canvas.el.addEventListener("pointerleave", () => look(null));
  canvas.el.addEventListener("blur", () => look(null));
  canvas.el.addEventListener("click", (event) => scene && app.select(underPoint(scene.layout, event.offsetX, event.offsetY, run)));
  canvas.el.addEventListener("keydown", key);
  const resized = new ResizeObserver(draw);
  resized.observe(el);
  return {
    el,
    update: draw,
    paint(frame) {
      last = frame;
      draw();
    },
    close: () => resized.disconnect(),
  };
}
