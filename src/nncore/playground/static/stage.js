/** The tab of the networks: data at the left, the networks in the middle, maps and curves at the right, numbers below. */

import { controlsView } from "./controls.js";
import { curvesView } from "./curves.js";
import { dataView } from "./data.js";
import { h, short, grouped } from "./dom.js";
import { numberField } from "./fields.js";
import { histogramsView } from "./histograms.js";
import { mapView } from "./map.js";
import { networkView } from "./network.js";
import { numbersView } from "./numbers.js";
import { threeDigits } from "./plot.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").View} View */

const LETTERS = ["A", "B", "C", "D"];
const FACTS = ["η now", "training", "validation", "penalty", "parameters"];

/**
 * @param {App} app
 * @returns {View & { axes(): [number, number] }}
 */
export function stageView(app) {
  const shared = [dataView(app), curvesView(app), numbersView(app)];
  const boxes = stageBoxes(shared);
  /** @type {ReturnType<typeof lane>[]} */
  const lanes = [];
  const views = () => [...shared, ...lanes.flatMap((one) => one.views)];
  return {
    el: boxes.el,
    update() {
      const count = app.state.runs.length;
      for (const gone of lanes.splice(count)) for (const view of gone.views) view.close?.();
      while (lanes.length < count) lanes.push(lane(app, lanes.length));
      boxes.fit(lanes);
      for (const view of views()) view.update();
    },
    paint(frame) {
      if (frame.header.runs.length !== lanes.length) return; // it was under way when the second run came or went
      for (const view of views()) view.paint?.(frame);
    },
    close: () => views().forEach((view) => view.close?.()),
    axes: () => /** @type {any} */ (lanes[0]?.map).axes || [0, 1],
  };
}

/**
 * The places of all parts. One network has its curves below the map and its numbers below itself; two share them.
 * @param {View[]} shared
 */
function stageBoxes([data, curves, numbers]) {
  const [laneBox, controlBox, histogramBox] = [h("div.lanes"), h("div.side-runs"), h("div.histogram-runs")];
  const side = h("aside.side", { "aria-label": "what to train" }, folding("Data", "data-panel", data.el), controlBox);
  const numbersPanel = folding("Numbers", "numbers-panel", numbers.el);
  const curvesPanel = folding("Curves", "curves-panel", curves.el);
  const panels = h("div.panels", {}, numbersPanel, histogramBox);
  const el = h("div.stage", {}, side, laneBox);
  let fitted = 0;
  return {
    el,
    /** @param {ReturnType<typeof lane>[]} lanes */
    fit(lanes) {
      if (lanes.length === fitted) return;
      fitted = lanes.length;
      const two = fitted > 1;
      el.classList.toggle("two", two);
      laneBox.replaceChildren(...lanes.map((one) => one.el), ...(two ? [curvesPanel, panels] : []));
      controlBox.replaceChildren(...lanes.map((one) => one.controls));
      histogramBox.replaceChildren(...lanes.map((one) => one.histograms));
      if (two) return;
      lanes[0].middle.append(panels);
      lanes[0].right.append(curvesPanel);
    },
  };
}

/**
 * All that belongs to one run.
 * @param {App} app
 * @param {number} run
 */
function lane(app, run) {
  /** @type {View[]} */
  const views = [networkView, mapView, histogramsView, controlsView, laneHead].map((view) => view(app, run));
  const [network, map, histograms, controls, head] = views;
  const middle = h("div.lane-middle", {}, h("div.panel.network-panel", {}, network.el));
  const right = h("div.lane-right", {}, h("div.panel.map-panel", {}, map.el));
  return {
    map,
    views,
    middle,
    right,
    el: h("section.lane", { "aria-label": `network ${LETTERS[run]}` }, head.el, middle, right),
    controls: folding(titled("Network", run), "controls-panel", controls.el),
    histograms: folding(titled("Histograms", run), "histograms-panel", histograms.el),
  };
}

/**
 * A title with the letter of the run, which shows when there are two.
 * @param {string} title
 * @param {number} run
 */
function titled(title, run) {
  return h("span", {}, title, h("span.letter", {}, LETTERS[run]));
}

/**
 * @param {string | HTMLElement} title
 * @param {string} kind
 * @param {HTMLElement} content
 */
function folding(title, kind, content) {
  return h(`details.panel.${kind}`, { open: true }, h("summary", {}, title), content);
}

/**
 * One line: which optimizer at which rate, and how good it is.
 * @param {App} app
 * @param {number} run
 * @returns {View}
 */
function laneHead(app, run) {
  const name = h("strong");
  const rate = rateField(app, run);
  const facts = Object.fromEntries(FACTS.map((title) => [title, fact(title)]));
  const ended = h("span.ended", { role: "status", hidden: true });
  return {
    el: h(
      "header.lane-head",
      {},
      h("span.letter", {}, LETTERS[run]),
      name,
      rate.el,
      h("span.facts", {}, ...Object.values(facts).map((one) => one.el)),
      ended,
    ),
    update() {
      const optimizer = app.state.runs[run]?.optimizer;
      if (!optimizer) return;
      name.textContent = app.catalog.optimizers.find((one) => one.name === optimizer.name)?.label || optimizer.name;
      name.style.setProperty("--color", app.catalog.colors[optimizer.name] || "currentColor");
      rate.update();
    },
    paint(frame) {
      const now = frame.header.runs[run];
      facts["η now"].show(app.state.runs[run]?.schedule ? short(now.lr) : "");
      facts.training.show(threeDigits(now.loss) + accuracyText(now.accuracy));
      facts.validation.show(threeDigits(now.validation_loss) + accuracyText(now.validation_accuracy));
      facts.penalty.show(now.penalty ? short(now.penalty) : "");
      facts.parameters.show(grouped(now.parameters));
      ended.hidden = !now.ended;
      ended.textContent = now.ended ? `⚠ ${now.ended}` : "";
    },
  };
}

/**
 * The learning rate, which is moved more often than anything else: also here, where it is always in sight.
 * @param {App} app
 * @param {number} run
 */
function rateField(app, run) {
  const el = h("div.rate");
  /** @type {import("./fields.js").Field | null} */
  let field = null;
  let shown = "";
  return {
    el,
    update() {
      const { optimizer } = app.state.runs[run];
      if (shown !== optimizer.name) {
        const { parameters } = app.catalog.optimizers.find(({ name }) => name === optimizer.name) ?? { parameters: [] };
        const rate = parameters.find(({ name }) => name === "lr");
        const change = (/** @type {number} */ value) => app.change(({ runs }) => void (runs[run].optimizer.lr = value));
        field = rate ? numberField(rate, change) : null;
        el.replaceChildren(...(field ? [field.el] : []));
        shown = optimizer.name;
      }
      field?.set(optimizer.lr);
    },
  };
}

/** @param {number | null} accuracy */
function accuracyText(accuracy) {
  return accuracy === null ? "" : ` · ${(100 * accuracy).toFixed(1)} %`;
}

/**
 * A number with its name; nothing where there is no number.
 * @param {string} title
 */
function fact(title) {
  const value = h("b");
  const el = h("span.fact", { hidden: true }, `${title} `, value);
  return {
    el,
    /** @param {string} text */
    show(text) {
      el.hidden = !text;
      if (value.textContent !== text) value.textContent = text;
    },
  };
}
