/** Lessons: a question, a prediction, then it runs, and the answer. */

import { h } from "./dom.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Lesson} Lesson */

const LOOK = 5000; // ms to see what happens before the answer is told

/**
 * The list, and the lesson that is open.
 * @param {App} app
 * @param {(lesson: Lesson) => Promise<void>} run set its state, go to its view, and play
 * @returns {import("./types").View}
 */
export function lessonsView(app, run) {
  const list = lessonList(app, (id) => app.change((state) => { state.lesson = id; }));
  const place = h("div.lesson-place");
  /** @type {ReturnType<typeof lessonCard> | null} */
  let card = null;
  /** @type {string | null} */
  let shown = null;
  const leave = () => app.change((state) => { state.lesson = null; });
  return {
    el: h("div.lessons", {}, place, list.el),
    update() {
      list.update();
      if (app.state.lesson === shown) return;
      shown = app.state.lesson;
      card?.close();
      const lesson = app.lessons.find(({ id }) => id === shown);
      card = lesson ? lessonCard(lesson, run, leave) : null;
      place.replaceChildren(...(card ? [card.el] : []));
      card?.el.scrollIntoView({ block: "nearest" });
    },
    close: () => card?.close(),
  };
}

/**
 * @param {App} app
 * @param {(id: string) => void} open
 */
function lessonList(app, open) {
  const decks = [...new Set(app.lessons.map((lesson) => lesson.deck))];
  const buttons = new Map(app.lessons.map((lesson) => [lesson.id, lessonButton(lesson, open)]));
  const sections = decks.map((deck) => {
    const own = app.lessons.filter((lesson) => lesson.deck === deck);
    return h("section", {}, h("h3", {}, `Deck ${deck}`), ...own.map(({ id }) => /** @type {HTMLElement} */ (buttons.get(id))));
  });
  return {
    el: h("div.lesson-list", {}, h("p.lead", {}, "Predict first, then let it run."), ...sections),
    update() {
      for (const [id, button] of buttons) button.setAttribute("aria-pressed", String(id === app.state.lesson));
    },
  };
}

/**
 * @param {Lesson} lesson
 * @param {(id: string) => void} open
 */
function lessonButton({ id, title, question }, open) {
  return h("button.lesson-link", { onclick: () => open(id) }, h("strong", {}, title), h("span", {}, question));
}

/**
 * @param {Lesson} lesson
 * @param {(lesson: Lesson) => Promise<void>} run
 * @param {() => void} leave
 */
function lessonCard(lesson, run, leave) {
  let chosen = -1;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const start = /** @type {HTMLButtonElement} */ (h("button.primary", { disabled: true, onclick: () => begin() }, "Run it"));
  const show = h("button", { hidden: true, onclick: () => reveal() }, "Show the answer");
  const verdict = h("p.verdict", { role: "status" });
  const answer = h("div.answer", { hidden: true }, verdict, h("p", {}, lesson.answer));
  const group = `${lesson.id}-${Math.random()}`; // radio buttons of several playgrounds on one page stay apart
  const options = lesson.predictions.map((text, i) => prediction(group, text, () => {
    chosen = i;
    start.disabled = false;
  }));
  const begin = async () => {
    for (const option of options) option.input.disabled = true;
    await run(lesson);
    start.textContent = "Run it again";
    show.hidden = !answer.hidden;
    clearTimeout(timer);
    timer = setTimeout(reveal, LOOK);
  };
  const reveal = () => {
    clearTimeout(timer);
    const right = chosen === lesson.right;
    verdict.textContent = right ? "✓ As you predicted." : `✗ You predicted “${lesson.predictions[chosen]}”.`;
    options.forEach((option, i) => option.el.classList.toggle("right", i === lesson.right));
    options.forEach((option, i) => option.el.classList.toggle("wrong", i === chosen && !right));
    [answer.hidden, show.hidden] = [false, true];
  };
  const close = h("button.quiet", { "aria-label": "close the lesson", title: "Close the lesson", onclick: leave }, "×");
  const el = h("section.lesson", { "aria-label": lesson.title },
    h("header", {}, h("span.deck", {}, `Deck ${lesson.deck}`), h("h2", {}, lesson.title), close),
    h("p.question", {}, lesson.question),
    h("fieldset", {}, h("legend", {}, "Your prediction"), ...options.map((option) => option.el)),
    h("div.row", {}, start, show), answer);
  return { el, close: () => clearTimeout(timer) };
}

/**
 * @param {string} group
 * @param {string} text
 * @param {() => void} chosen
 */
function prediction(group, text, chosen) {
  const input = /** @type {HTMLInputElement} */ (h("input", { type: "radio", name: group, onchange: chosen }));
  return { input, el: h("label.prediction", {}, input, h("span", {}, text)) };
}
