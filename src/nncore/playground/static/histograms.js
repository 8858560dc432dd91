/** How z and δ are distributed in each layer, and how large its weights, gradients and steps are. */

import { sheet } from "./canvas.js";
import { css, diverging, theme } from "./colors.js";
import { h } from "./dom.js";
import { percent, threeDigits } from "./plot.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").FrameLayer} FrameLayer */
/** @typedef {import("./types").Message<import("./types").Frame>} FrameMessage */

const ROWS = ["z", "δ", "dead units", "‖W‖", "‖∂l/∂W‖", "‖ΔW‖/‖W‖"];

/**
 * Bars up or down from a line, blue below 0 and orange above.
 * @param {CanvasRenderingContext2D} g
 * @param {ArrayLike<number>} shares
 * @param {[number, number]} range
 * @param {{ width: number, line: number, height: number, way: number, colors: ReturnType<typeof theme> }} place
 */
function paintBars(g, shares, [from, to], { width, line, height, way, colors }) {
  let most = 1e-12;
  for (let i = 0; i < shares.length; i++) most = Math.max(most, shares[i]);
  const [negative, positive] = [css(diverging(-0.85, colors.ground)), css(diverging(0.85, colors.ground))];
  const bar = width / shares.length;
  for (let i = 0; i < shares.length; i++) {
    const tall = (height * shares[i]) / most;
    g.fillStyle = from + ((i + 0.5) * (to - from)) / shares.length < 0 ? negative : positive;
    g.fillRect(i * bar, way > 0 ? line - tall : line, Math.max(1, bar - 0.5), tall);
  }
  if (!(from < 0 && to > 0)) return;
  const zero = (width * -from) / (to - from);
  g.fillStyle = colors.faint;
  g.fillRect(zero - 0.5, way > 0 ? line - height : line, 1, height);
}

/**
 * @param {CanvasRenderingContext2D} g
 * @param {number} width
 * @param {number} height
 * @param {ReturnType<typeof theme>} colors
 * @param {FrameLayer} layer
 * @param {ArrayLike<number>[]} shares of z and of δ
 */
function paintHistogram(g, width, height, colors, layer, shares) {
  const line = height / 2;
  const place = { width, line, height: line - 6, colors };
  paintBars(g, shares[0], layer.z, { ...place, way: 1 });
  paintBars(g, shares[1], layer.delta, { ...place, way: -1 });
  g.fillStyle = colors.ink;
  g.fillRect(0, line - 0.5, width, 1);
  g.font = "600 13px system-ui, sans-serif";
  g.textBaseline = "top";
  g.fillText("z", 3, 2);
  g.textBaseline = "bottom";
  g.fillText("δ", 3, height - 1);
}

/** One layer: its picture and its numbers. */
function layerCard() {
  const canvas = sheet("Distribution of z, upward, and of δ, downward", "histogram-canvas");
  const title = h("h4");
  const values = ROWS.map(() => h("dd"));
  const list = h("dl", {}, ...ROWS.flatMap((row, i) => [h("dt", {}, row), values[i]]));
  return {
    el: h("div.histogram", {}, title, canvas.el, list),
    /**
     * @param {string} name
     * @param {FrameLayer} layer
     * @param {ArrayLike<number>[]} shares
     * @param {ReturnType<typeof theme>} colors
     */
    show(name, layer, shares, colors) {
      const [weight, gradient, change] = layer.norms;
      const span = (/** @type {[number, number]} */ [from, to]) =>
        from === -to ? `±${threeDigits(to)}` : `${threeDigits(from)} … ${threeDigits(to)}`;
      const texts = [
        span(layer.z),
        span(layer.delta),
        percent(layer.dead),
        ...[weight, gradient, (change ?? NaN) / (weight ?? NaN)].map(threeDigits),
      ];
      texts.forEach((text, i) => {
        if (values[i].textContent !== text) values[i].textContent = text;
      });
      values[2].classList.toggle("warn", layer.dead > 0.25);
      title.textContent = name;
      canvas.draw((g, width, height) => paintHistogram(g, width, height, colors, layer, shares));
    },
  };
}

/**
 * @param {App} app
 * @param {number} run
 * @returns {import("./types").View}
 */
export function histogramsView(app, run) {
  const el = h("div.play-histograms");
  /** @type {ReturnType<typeof layerCard>[]} */
  let cards = [];
  /** @type {FrameMessage | null} */
  let last = null;

  function draw() {
    const now = last?.header.runs[run];
    if (!last || !now || !el.clientWidth) return;
    const [z, delta] = [last.arrays[`${run}/z`], last.arrays[`${run}/delta`]];
    if (!z || !delta) return;
    if (cards.length !== now.layers.length) {
      cards = now.layers.map(layerCard);
      el.replaceChildren(...cards.map((card) => card.el));
    }
    const colors = theme(app.root);
    now.layers.forEach((layer, i) => {
      const shares = [z, delta].map(({ data, shape }) => data.subarray(i * shape[1], (i + 1) * shape[1]));
      cards[i].show(i === now.layers.length - 1 ? "Output" : `Layer ${i + 1}`, layer, shares, colors);
    });
  }
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
