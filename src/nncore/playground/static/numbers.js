/** Every number of the chosen unit, weight or layer, with its formula. */

import { h, short } from "./dom.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Numbers} Numbers */
/** @typedef {import("./types").Message<import("./types").Frame>} FrameMessage */

const HINT =
  "Click a unit, a line, the dot of a bias or the title of a layer: all of its numbers appear here, with their formulas.";

/** @param {string | number} cell */
function cellText(cell) {
  return typeof cell === "number" ? short(cell) : cell;
}

/**
 * @param {Numbers} numbers
 * @param {() => void} release
 */
function numbersPanel(numbers, release) {
  const close = h("button.numbers-close", { type: "button", title: "Release (Escape)", "aria-label": "Release" }, "×");
  close.addEventListener("click", release);
  const formulas = numbers.formulas.map(({ text }) =>
    h("div.formula", {}, h("span.formula-text", {}, text), h("span.formula-value")),
  );
  const head = h("thead", {}, h("tr", {}, ...numbers.columns.map((name) => h("th", { scope: "col" }, name))));
  const rows = numbers.rows.map((row) => h("tr", {}, ...row.map((_, i) => (i ? h("td") : h("th", { scope: "row" })))));
  const table = h(
    "div.numbers-scroll",
    { tabIndex: 0, role: "region", "aria-label": "Table of numbers" },
    h("table", {}, head, h("tbody", {}, ...rows)),
  );
  return [h("div.numbers-head", {}, h("h3", {}, numbers.title), close), ...formulas, ...(rows.length ? [table] : [])];
}

/**
 * New numbers in the panel that is there.
 * @param {HTMLElement} el
 * @param {Numbers} numbers
 */
function fillNumbers(el, numbers) {
  const texts = [...numbers.formulas.map(({ value }) => value), ...numbers.rows.flat().map(cellText)];
  const places = el.querySelectorAll(".formula-value, tbody th, tbody td");
  texts.forEach((text, i) => {
    if (places[i].textContent === text) return;
    places[i].textContent = text;
    places[i].classList.toggle("negative", text.startsWith("−"));
  });
}

/**
 * @param {App} app
 * @returns {import("./types").View}
 */
export function numbersView(app) {
  const el = h("div.play-numbers");
  const hint = h("p.numbers-hint", {}, HINT);
  /** @type {FrameMessage | null} */
  let last = null;
  let known = "none";

  function draw() {
    const numbers = (app.selected && last?.header.runs[app.selected.run]?.numbers) || null;
    const shape = numbers
      ? JSON.stringify([numbers.title, numbers.columns, numbers.rows.length, numbers.formulas.map(({ text }) => text)])
      : "";
    if (shape !== known) el.replaceChildren(...(numbers ? numbersPanel(numbers, () => app.select(null)) : [hint]));
    known = shape;
    if (numbers) fillNumbers(el, numbers);
  }
  draw();
  return {
    el,
    update: draw,
    paint(frame) {
      last = frame;
      draw();
    },
  };
}
