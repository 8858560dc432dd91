/** The page: connects, shows the view that is chosen, and keeps asking for frames. anywidget's interface: `render`. */

import { Playground, reason } from "./app.js";
import { clock, navigation } from "./bar.js";
import { copy, encode } from "./store.js";
import { h } from "./dom.js";
import { initializationView } from "./initialization.js";
import { landscapeView } from "./landscape.js";
import { lessonsView } from "./lessons.js";
import { Loop } from "./loop.js";
import { Address, preferredTheme, recall, remember } from "./memory.js";
import { momentumView } from "./momentum.js";
import { noticeLine, takeAway } from "./notices.js";
import { stageView } from "./stage.js";

/** @typedef {import("./types").View} View */

const GRID = 40; // side of a unit's heat map

/**
 * @param {{ model: import("./types").Host & { page?: boolean }, el: HTMLElement }} place
 * @returns {() => void} takes the page away
 */
export function render({ model, el }) {
  const page = new Page(model);
  el.append(page.root);
  page.begin();
  return () => page.close();
}

class Page {
  #listening = new AbortController();
  #listing = false; // the tab "Lessons", which is not a view of the state
  #lost = false;
  #width = 0;
  /** @type {Record<string, View>} */ #views = {}; // made when they are first shown
  /** @type {View | null} */ #lessons = null;
  /** @type {ReturnType<typeof clock> | null} */ #clock = null;

  /** @param {import("./types").Host & { page?: boolean }} host */
  constructor(host) {
    this.host = host;
    this.notice = noticeLine();
    this.banner = h("div.banner", { role: "alert", hidden: true }, "Connection lost: trying again …");
    this.stage = h("div.place");
    this.navigation = navigation((tab) => this.#go(tab), this.#actions());
    this.root = h("div.nncore-play", { tabIndex: -1 }, this.navigation.el, this.banner, this.stage, this.notice.el);
    this.root.classList.toggle("page", Boolean(host.page));
    this.root.dataset.theme = recall("theme") || preferredTheme();
    this.app = new Playground(host, this.root, {
      updated: () => this.#update(),
      painted: () => this.#paint(),
      said: (message) => this.notice.say(message),
    });
    this.loop = new Loop(
      () => this.#look(),
      () => !this.#lost && this.#tab === "network",
    );
    this.address = host.page ? new Address((state) => this.#enter(state)) : null;
    this.sizes = new ResizeObserver(() => requestAnimationFrame(() => this.#resized()));
    this.#listen();
  }

  async begin() {
    if (!(await this.#hello())) return; // until there is a connection
    this.#lessons = lessonsView(this.app, (lesson) => this.#run(lesson));
    this.#clock = clock(this.app, this.#actions());
    this.navigation.el.after(this.#clock.el, this.#lessons.el);
    this.sizes.observe(this.root);
    this.#update();
    this.loop.run();
  }

  close() {
    this.#listening.abort();
    this.loop.close();
    this.sizes.disconnect();
    this.address?.close();
    this.notice.close();
    this.app.connection.close();
    for (const view of [...Object.values(this.#views), this.#lessons]) view?.close?.();
    this.root.remove();
  }

  /** Say hello with what we have: to the session of before, if it still lives, else with the state to a new one. */
  async #hello() {
    const { app, address, host } = this;
    const first = !app.state;
    const state = first ? (address?.read() ?? null) : app.state;
    const session = host.page ? recall("session") : null;
    if (first && address?.given && !state) app.say("The address holds no state that this version knows");
    const greeted = (await this.#greet(session, state)) || (state && !this.#lost && (await this.#greet(session, null)));
    if (!greeted) return false;
    if (first) address?.begin(app.state);
    // A link that is opened in a tab whose session is at something else.
    if (first && state && encode(state) !== encode(app.state)) await app.change((now) => Object.assign(now, state));
    if (host.page) remember("session", app.session);
    return true;
  }

  /**
   * @param {string | null} session
   * @param {import("./types").State | null} state
   */
  #greet(session, state) {
    return this.app.hello(session, state).then(
      () => true,
      (error) => void this.app.say(reason(error)),
    );
  }

  get #tab() {
    return this.#listing ? "lessons" : this.app.state.view;
  }

  /** @param {string} tab */
  #go(tab) {
    this.#listing = tab === "lessons";
    if (this.#listing || tab === this.app.state.view) return this.#update();
    this.app.change((state) => {
      state.view = /** @type {any} */ (tab);
    });
  }

  /** @param {import("./types").Lesson} lesson */
  async #run(lesson) {
    await this.app.change((state) => Object.assign(state, copy(lesson.state), { lesson: lesson.id }));
    this.#listing = false;
    this.#update();
    if (this.host.page) window.scrollTo(0, 0); // the list of lessons is longer than what they show
    if (lesson.state.view !== "network") return; // the others move by themselves
    await this.#tell({ type: "reset" });
    await this.#tell({ type: "play" });
  }

  /** @param {import("./types").State | null} state */
  #enter(state) {
    if (state) this.app.change((now) => Object.assign(now, state));
    else this.app.say("The address holds no state that this version knows");
  }

  /** @param {import("./types").Request} request */
  async #tell(request) {
    await this.app.ask(request).catch((error) => this.app.say(reason(error)));
    this.loop.wake();
  }

  /** @returns {import("./bar.js").Actions} */
  #actions() {
    return {
      play: () => this.#tell({ type: this.app.frame?.header.playing ? "pause" : "play" }),
      step: () => this.#tell({ type: "step", steps: 1 }),
      epoch: () => this.#tell({ type: "epoch" }),
      phase: () => this.#tell({ type: "phase" }),
      reset: () => this.#tell({ type: "reset" }),
      compare: () => this.app.change(({ runs }) => void (runs.length > 1 ? runs.pop() : runs.push(copy(runs[0])))),
      code: () => this.#copyCode(),
      turn: () => this.#turn(),
    };
  }

  async #copyCode() {
    try {
      /** @type {any} */
      const { header } = await this.app.ask({ type: "code" });
      if (await takeAway(this.root, header.text)) this.app.say("Copied: a script that computes what you see");
    } catch (error) {
      this.app.say(reason(error));
    }
  }

  #turn() {
    this.root.dataset.theme = this.root.dataset.theme === "dark" ? "light" : "dark";
    if (this.host.page) remember("theme", this.root.dataset.theme);
    this.#update();
  }

  #update() {
    if (!this.#clock || !this.#lessons) return; // before it has begun
    const tab = this.#tab;
    this.root.dataset.tab = tab;
    this.root.classList.toggle("in-lesson", this.app.state.lesson !== null);
    this.navigation.show(tab);
    for (const part of [this.#clock, this.#lessons]) part.update();
    const view = this.#shown(tab);
    if (this.stage.firstChild !== (view?.el ?? null)) this.stage.replaceChildren(...(view ? [view.el] : []));
    view?.update();
    this.address?.keep(this.app.state);
    this.loop.wake();
  }

  /** @param {string} tab */
  #shown(tab) {
    if (tab === "lessons") return null;
    const make = { network: stageView, landscape: landscapeView, momentum: momentumView, initialization: initializationView };
    return (this.#views[tab] ??= make[/** @type {keyof typeof make} */ (tab)](this.app));
  }

  /** Ask for a frame, and paint it. */
  async #look() {
    const stage = /** @type {ReturnType<typeof stageView> | undefined} */ (this.#views.network);
    try {
      await this.app.look(GRID, stage?.axes() || [0, 1]);
    } catch (error) {
      if (this.#lost) return false;
      this.app.say(reason(error));
      console.error(error); // frames are not refused: something is wrong with us
      return false;
    }
    return Boolean(this.app.frame?.header.playing);
  }

  #paint() {
    if (!this.app.frame) return;
    this.#clock?.paint(this.loop.fps);
    this.#views.network?.paint?.(this.app.frame);
  }

  #resized() {
    this.root.style.setProperty("--top", `${this.#clock?.el.offsetHeight || 0}px`);
    if (this.root.clientWidth === this.#width) return; // panels that fold change the height alone
    this.#width = this.root.clientWidth;
    this.#update();
  }

  #listen() {
    const { signal } = this.#listening;
    const keys = this.host.page ? document : this.root;
    keys.addEventListener("keydown", (event) => this.#key(/** @type {KeyboardEvent} */ (event)), { signal });
    this.stage.addEventListener("toggle", () => this.#update(), { signal, capture: true }); // of panels: it does not bubble
    document.addEventListener("visibilitychange", () => this.loop.wake(), { signal });
    this.host.on("connection", (connected) => this.#connected(connected));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const taken = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || this.#tab !== "network";
    const own = event.key === " " ? ", button:focus-visible" : ""; // buttons that the keyboard has reached take the space bar
    if (taken || target.closest(`input, select, textarea, summary, dialog, canvas${own}`)) return;
    const act = { " ": this.#actions().play, ArrowRight: this.#actions().step }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** @param {boolean} connected */
  async #connected(connected) {
    this.banner.hidden = connected;
    if (!connected) {
      this.#lost = true;
      this.app.connection.lost();
    } else {
      this.#lost = false;
      if (this.#clock) await this.#hello();
      else await this.begin();
    }
  }
}
