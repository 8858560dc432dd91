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
  const list = lessonList(app, (id) =>
    app.change((state) => {
      state.lesson = id;
    }),
  );
  const place = h("div.lesson-place");
  /** @type {LessonCard | null} */
  let card = null;
  /** @type {string | null} */
  let shown = null;
  const leave = () =>
    app.change((state) => {
      state.lesson = null;
    });
  return {
    el: h("div.lessons", {}, place, list.el),
    update() {
      list.update();
      if (app.state.lesson === shown) return;
      shown = app.state.lesson;
      card?.close();
      const lesson = app.lessons.find(({ id }) => id === shown);
      card = lesson ? new LessonCard(lesson, run, leave) : null;
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

class LessonCard {
  #chosen = -1;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #start = /** @type {HTMLButtonElement} */ (h("button.primary", { disabled: true, onclick: () => this.#begin() }, "Run it"));
  #show = h("button", { hidden: true, onclick: () => this.#reveal() }, "Show the answer");
  #verdict = h("p.verdict", { role: "status" });

  /**
   * @param {Lesson} lesson
   * @param {(lesson: Lesson) => Promise<void>} run
   * @param {() => void} leave
   */
  constructor(lesson, run, leave) {
    this.lesson = lesson;
    this.run = run;
    this.answer = h("div.answer", { hidden: true }, this.#verdict, h("p", {}, lesson.answer));
    const group = `${lesson.id}-${Math.random()}`; // radio buttons of several playgrounds on one page stay apart
    this.options = lesson.predictions.map((text, i) => prediction(group, text, () => this.#predict(i)));
    const close = h("button.quiet", { "aria-label": "close the lesson", title: "Close the lesson", onclick: leave }, "×");
    this.el = h(
      "section.lesson",
      { "aria-label": lesson.title },
      h("header", {}, h("span.deck", {}, `Deck ${lesson.deck}`), h("h2", {}, lesson.title), close),
      h("p.question", {}, lesson.question),
      h("fieldset", {}, h("legend", {}, "Your prediction"), ...this.options.map((option) => option.el)),
      h("div.row", {}, this.#start, this.#show),
      this.answer,
    );
  }

  close() {
    clearTimeout(this.#timer);
  }

  /** @param {number} which */
  #predict(which) {
    this.#chosen = which;
    this.#start.disabled = false;
  }

  async #begin() {
    for (const option of this.options) option.input.disabled = true;
    await this.run(this.lesson);
    this.#start.textContent = "Run it again";
    if (!this.answer.hidden) return;
    this.#show.hidden = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#reveal(), LOOK);
  }

  #reveal() {
    this.close();
    const { predictions, right } = this.lesson;
    const missed = this.#chosen !== right;
    this.#verdict.textContent = missed ? `✗ You predicted “${predictions[this.#chosen]}”.` : "✓ As you predicted.";
    this.options[right].el.classList.add("right");
    if (missed) this.options[this.#chosen].el.classList.add("wrong");
    [this.answer.hidden, this.#show.hidden] = [false, true];
  }
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
