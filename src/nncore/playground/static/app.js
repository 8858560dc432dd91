/** What all views share: the state, the last frame, the connection. The App of types.d.ts. */

import { connect } from "./protocol.js";
import { copy } from "./store.js";

/** @typedef {import("./types").App} App */
/** @typedef {import("./types").State} State */
/** @typedef {import("./types").Request} Request */

/**
 * What the frame of the page does when something is new.
 * @typedef {{ updated: () => void, painted: () => void, said: (message: string) => void }} Listener
 */

/** @implements {App} */
export class Playground {
  /** @type {any} */ state = null;
  /** @type {any} */ catalog = null;
  /** @type {import("./types").Lesson[]} */ lessons = [];
  own = false;
  session = "";
  version = "";
  /** @type {App["points"]} */ points = null;
  /** @type {App["frame"]} */ frame = null;
  /** @type {App["selected"]} */ selected = null;
  /** @type {App["hovered"]} */ hovered = null;
  /** @type {number | null} */ example = null;
  /** @type {State | null} */ #wanted = null; // the state with edits that Python has not seen yet
  /** @type {Promise<void> | null} */ #sending = null;
  #pointsOf = -1; // the start that the points belong to
  /** @type {Promise<any> | null} */ #next = null; // the frame that is asked for while the last one is painted

  /**
   * @param {import("./types").Host} host
   * @param {HTMLElement} root
   * @param {Listener} listener
   */
  constructor(host, root, listener) {
    this.root = root;
    this.listener = listener;
    this.connection = connect(host);
  }

  /** @type {App["ask"]} */
  ask = (request) => this.connection.ask(request);

  /** @type {App["say"]} */
  say = (message) => this.listener.said(message);

  /**
   * @param {string | null} session
   * @param {State | null} state
   */
  async hello(session, state) {
    const greeting = this.ask({ type: "hello", session, state });
    const { header } = /** @type {{ header: import("./types").Welcome }} */ (/** @type {unknown} */ (await greeting));
    Object.assign(this, { catalog: header.catalog, lessons: header.lessons, own: header.own });
    Object.assign(this, { session: header.session, version: header.version, state: header.state });
    this.#wanted = this.state;
    this.#pointsOf = -1;
    this.#next = null;
    this.listener.updated();
  }

  /** @type {App["change"]} */
  change = (edit) => {
    const next = copy(/** @type {State} */ (this.#wanted));
    edit(next);
    this.#wanted = next;
    this.#sending ??= this.#send().finally(() => (this.#sending = null));
    return this.#sending;
  };

  /** Send the state until Python has the newest: edits that come while one is under way go together. */
  async #send() {
    while (this.#wanted && this.#wanted !== this.state) {
      const sent = this.#wanted;
      try {
        const adopted = /** @type {any} */ (await this.ask({ type: "state", state: sent })).header;
        this.state = adopted.state;
        if (this.#wanted === sent) this.#wanted = this.state;
      } catch (error) {
        this.#wanted = this.state;
        this.say(reason(error));
      }
    }
    this.listener.updated();
  }

  /** @type {App["select"]} */
  select = (what) => {
    this.selected = what;
    this.listener.updated();
  };

  /** @type {App["hover"]} */
  hover = (what) => {
    this.hovered = what;
    this.listener.painted();
  };

  /** @type {App["choose"]} */
  choose = (example) => {
    this.example = example;
    this.listener.updated();
  };

  /**
   * Ask for the present moment of the networks, and for their data where they are new. While they train, the next frame is
   * computed while this one is painted: no more than one is under way.
   * @param {number} grid
   * @param {[number, number]} axes
   */
  async look(grid, axes) {
    const asked = this.#next ?? this.#askFrame(grid, axes);
    this.#next = null;
    const frame = await asked;
    if (frame.header.playing) this.#next = this.#askFrame(grid, axes);
    this.#next?.catch(() => {}); // the next look tells it
    if (frame.header.start !== this.#pointsOf) {
      this.points = await this.ask({ type: "points" });
      this.#pointsOf = frame.header.start;
      this.frame = frame;
      this.listener.updated();
    }
    this.frame = frame;
    this.listener.painted();
  }

  /**
   * The example and the axes may belong to the data of before: then without them.
   * @param {number} grid
   * @param {[number, number]} axes
   * @returns {Promise<any>}
   */
  #askFrame(grid, axes) {
    const example = this.example ?? this.#shownExample();
    const request = { type: /** @type {const} */ ("frame"), grid, inspect: this.selected };
    return this.ask({ ...request, example, axes }).catch(() => {
      this.example = null;
      return this.ask({ ...request, example: null, axes: [0, 1] });
    });
  }

  /** Without a choice: in step mode the first example of the batch; the first picture, so that all units show something. */
  #shownExample() {
    return this.frame?.header.runs[0].batch?.[0] ?? (this.points?.header.image ? 0 : null);
  }
}

/** @param {unknown} error */
export function reason(error) {
  return error instanceof Error ? error.message : String(error);
}
