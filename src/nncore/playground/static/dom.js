/** Elements in one expression. */

/**
 * @param {string} tag such as "div" or "button.primary"
 * @param {Record<string, any>} [attributes] `on…`: a listener; `true`: an attribute without a value; null or false: none
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") /** @type {any} */ (element)[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/**
 * A number for reading: four digits, no longer than that.
 * @param {number | null | undefined} value
 */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : value.toPrecision(4);
  const plain = text.includes("e") ? text : String(Number(text));
  return plain.replaceAll("-", "−");
}

const GROUPS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** @param {number} count */
export function grouped(count) {
  return GROUPS.format(count);
}
