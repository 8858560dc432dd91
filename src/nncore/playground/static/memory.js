/** What the browser keeps of the page: the state in the address; session and theme as long as the tab lives. */

import { decode, encode } from "./store.js";

/** @typedef {import("./types").State} State */

const CALM = 300; // ms: browsers refuse to change the address more often than some times a second

/** @param {string} key */
export function recall(key) {
  try {
    return sessionStorage.getItem(`nncore-${key}`);
  } catch {
    return null; // storage is switched off
  }
}

/**
 * @param {string} key
 * @param {string} value
 */
export function remember(key, value) {
  try {
    sessionStorage.setItem(`nncore-${key}`, value);
  } catch {
    // storage is switched off
  }
}

/** Light or dark, as the system, or the notebook around us, prefers it. */
export function preferredTheme() {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  const dark = jpThemeLight ? jpThemeLight === "false" : vscodeThemeKind ? /dark|high-contrast$/.test(vscodeThemeKind) : null;
  return (dark ?? matchMedia("(prefers-color-scheme: dark)").matches) ? "dark" : "light";
}

export class Address {
  /** @type {State | null} */ #kept = null;
  /** @type {State | null} */ #newest = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #listening = new AbortController();

  /** @param {(state: State | null) => void} entered another address was entered; null: it is not a state */
  constructor(entered) {
    const { signal } = this.#listening;
    window.addEventListener("hashchange", () => entered(this.read()), { signal });
    window.addEventListener("pagehide", () => this.#write(), { signal });
  }

  /** Whether the address claims to hold a state. */
  get given() {
    return location.hash.length > 1;
  }

  read() {
    return decode(location.hash.slice(1));
  }

  /**
   * Where it began is not written: the plain address stays plain until something has changed.
   * @param {State} state
   */
  begin(state) {
    this.#kept = this.#newest = state;
  }

  /** @param {State} state */
  keep(state) {
    this.#newest = state;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#write(), CALM);
  }

  close() {
    clearTimeout(this.#timer);
    this.#listening.abort();
  }

  #write() {
    if (!this.#newest || this.#newest === this.#kept) return;
    this.#kept = this.#newest;
    history.replaceState(null, "", `#${encode(this.#newest)}`);
  }
}
