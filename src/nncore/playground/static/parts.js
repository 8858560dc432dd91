/** Small elements that several views share. */

import { h } from "./dom.js";

/**
 * A button that is on or off.
 * @param {string} text
 * @param {boolean} on
 * @param {(on: boolean) => void} changed
 */
export function onOff(text, on, changed) {
  const el = h("button.play-toggle", { type: "button", "aria-pressed": String(on) }, text);
  el.addEventListener("click", () => {
    const now = el.getAttribute("aria-pressed") !== "true";
    el.setAttribute("aria-pressed", String(now));
    changed(now);
  });
  return el;
}

/** A box of text beside what it tells of, within the view; read out when it changes by keyboard. */
export function hoverTip() {
  const el = h("div.play-tip", { hidden: true, "aria-live": "polite" });
  return {
    el,
    /**
     * @param {string[]} lines none: it goes
     * @param {number} x
     * @param {number} y
     * @param {number} width of the view
     */
    show(lines, x, y, width) {
      el.hidden = !lines.length;
      const text = lines.join("\n");
      if (el.dataset.text !== text) {
        el.dataset.text = text;
        el.replaceChildren(...lines.map((line, i) => h(i ? "div" : "strong", {}, line)));
      }
      const left = x + 14 + el.offsetWidth > width ? Math.max(0, x - el.offsetWidth - 14) : x + 14;
      el.style.translate = `${Math.round(left)}px ${Math.round(y + 14)}px`;
    },
  };
}
