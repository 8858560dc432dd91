/** What the pages beside the network share: a draft of their state, one request at a time, sliders, drags. */

import { h, short } from "./dom.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Request} Request */

/**
 * Ask while at most one request is under way: of those that come meanwhile only the newest is sent.
 * @template T
 * @param {App} app
 * @param {(reply: import("./types").Message<T>) => void} done
 * @returns {(request: Request) => Promise<void>}
 */
export function newestOnly(app, done) {
  let busy = false;
  /** @type {Request | null} */
  let waiting = null;
  /** @type {(request: Request) => Promise<void>} */
  async function ask(request) {
    if (busy) {
      waiting = request;
      return;
    }
    busy = true;
    try {
      done(await app.ask(request));
    } catch (error) {
      app.say(error instanceof Error ? error.message : String(error));
    } finally {
      busy = false;
    }
    const next = waiting;
    waiting = null;
    if (next) await ask(next);
  }
  return ask;
}

/**
 * The part of the state that a page shows: ahead of the state while something is dragged, and asked about when it changes.
 * @template {"landscape" | "momentum" | "initialization"} Page
 * @param {App} app
 * @param {Page} page
 * @param {() => void} show it has changed, or the page's size or theme
 * @param {(reply: import("./types").Message<any>) => void} answered
 */
export function explored(app, page, show, answered) {
  let now = app.state[page];
  let dragging = false;
  let ahead = false; // until the state has it too
  let asked = "";
  const ask = newestOnly(app, answered);
  function update() {
    if (!ahead) now = app.state[page];
    show();
    const request = JSON.stringify(now);
    if (request === asked) return;
    asked = request;
    ask(/** @type {Request} */ (/** @type {unknown} */ ({ type: page, [page]: now })));
  }
  /** @param {Partial<import("./types").State[Page]>} change */
  function draft(change) {
    dragging = ahead = true;
    now = { ...now, ...change };
    update();
  }
  function keep() {
    dragging = false;
    const kept = now;
    app
      .change((state) => void (state[page] = kept))
      .finally(() => {
        if (now === kept) ahead = false; // else another drag has begun
        update();
      });
  }
  return {
    now: () => now,
    dragging: () => dragging,
    update,
    draft,
    keep,
    /** @param {Partial<import("./types").State[Page]>} change */
    choose: (change) => (draft(change), keep()),
    again: () => ((asked = ""), update()),
  };
}

const SLIDER_PARTS = 1000; // positions of a slider

/**
 * A slider with its number.
 * @param {{ label: string, minimum: number, maximum: number, value: number, log?: boolean, whole?: boolean, title?: string,
 *   input: (value: number) => void, done: (value: number) => void }} options `input` while it moves, `done` when it is let go
 */
export function exploreSlider({ label, minimum, maximum, value, log = false, whole = false, title = "", input, done }) {
  const [low, high] = log ? [Math.log(minimum), Math.log(maximum)] : [minimum, maximum];
  const range = /** @type {HTMLInputElement} */ (
    h("input", { type: "range", min: "0", max: String(SLIDER_PARTS), "aria-label": title || label })
  );
  const number = h("output", { class: "explore-number" });
  const read = () => {
    const at = low + (Number(range.value) / SLIDER_PARTS) * (high - low);
    const raw = log ? Math.exp(at) : at;
    return whole ? Math.round(raw) : Number(raw.toPrecision(3));
  };
  /** @param {number} shown */
  const tell = (shown) => {
    number.textContent = short(shown);
    range.setAttribute("aria-valuetext", short(shown));
  };
  /** @param {number} next */
  const set = (next) => {
    range.value = String(Math.round((SLIDER_PARTS * ((log ? Math.log(Math.max(next, minimum)) : next) - low)) / (high - low)));
    tell(next);
  };
  range.addEventListener("input", () => (tell(read()), input(read())));
  range.addEventListener("change", () => done(read()));
  set(value);
  return { el: h("label.explore-slider", { title }, h("span", {}, label), range, number), set };
}

/**
 * A choice from a list.
 * @param {string} label
 * @param {{ name: string, label: string }[]} choices
 * @param {(name: string) => void} done
 */
export function exploreSelect(label, choices, done) {
  const options = choices.map((choice) => h("option", { value: choice.name }, choice.label));
  const select = /** @type {HTMLSelectElement} */ (h("select", { "aria-label": label }, ...options));
  select.addEventListener("change", () => done(select.value));
  return {
    el: h("label.explore-select", {}, h("span", {}, label), select),
    select,
  };
}

/**
 * Position in a canvas, from 0 to 1 on both axes, y upwards.
 * @param {PointerEvent} event
 * @param {HTMLElement} el
 * @returns {[number, number]}
 */
export function pointedAt(event, el) {
  const box = el.getBoundingClientRect();
  const inside = (/** @type {number} */ share) => Math.max(0, Math.min(1, share));
  return [inside((event.clientX - box.left) / box.width), inside(1 - (event.clientY - box.top) / box.height)];
}

/**
 * Drag, click and arrow keys on a canvas: `move` while it lasts, `done` at its end. Steps of keys are shares of the canvas.
 * @param {HTMLElement} el
 * @param {{ at: () => [number, number], move: (to: [number, number]) => void, done: () => void, step?: number }} options
 */
export function movable(el, { at, move, done, step = 0.01 }) {
  el.tabIndex = 0;
  el.setAttribute("role", "application");
  el.addEventListener("pointerdown", (event) => {
    el.setPointerCapture(event.pointerId);
    move(pointedAt(event, el));
  });
  el.addEventListener("pointermove", (event) => {
    if (el.hasPointerCapture(event.pointerId)) move(pointedAt(event, el));
  });
  el.addEventListener("pointerup", done);
  el.addEventListener("pointercancel", done);
  /** @type {Record<string, [number, number]>} */
  const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  el.addEventListener("keydown", (event) => {
    const way = keys[event.key];
    if (!way) return;
    event.preventDefault();
    event.stopPropagation(); // arrows take steps elsewhere
    const size = event.shiftKey ? 5 * step : step;
    const [x, y] = at();
    move([Math.max(0, Math.min(1, x + way[0] * size)), Math.max(0, Math.min(1, y + way[1] * size))]);
  });
  el.addEventListener("keyup", (event) => event.key in keys && done());
}
