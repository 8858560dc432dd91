/** What the page says: a line that goes away by itself, a banner that stays, a text to take away. */

import { h } from "./dom.js";

const SECONDS = 6;

export function noticeLine() {
  const el = h("div.notice", { role: "status", hidden: true });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  return {
    el,
    /** @param {string} message */
    say(message) {
      el.textContent = message;
      el.hidden = false;
      clearTimeout(timer);
      timer = setTimeout(() => (el.hidden = true), SECONDS * 1000);
    },
    close: () => clearTimeout(timer),
  };
}

/**
 * To the clipboard; where the browser does not allow it, a dialog from which it can be copied.
 * @param {HTMLElement} root
 * @param {string} text
 * @returns {Promise<boolean>} whether it is in the clipboard
 */
export async function takeAway(root, text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    textDialog(root, text);
    return false;
  }
}

/**
 * @param {HTMLElement} root
 * @param {string} text
 */
function textDialog(root, text) {
  const area = /** @type {HTMLTextAreaElement} */ (h("textarea", { readonly: true, "aria-label": "Python code" }));
  area.value = text;
  const close = h("button.primary", { onclick: () => dialog.close() }, "Close");
  const dialog = /** @type {HTMLDialogElement} */ (
    h(
      "dialog",
      { "aria-label": "Copy as Python" },
      h("p", {}, "The browser did not allow to copy. Copy from here:"),
      area,
      close,
    )
  );
  dialog.addEventListener("close", () => dialog.remove());
  root.append(dialog);
  dialog.showModal();
  area.select();
}
