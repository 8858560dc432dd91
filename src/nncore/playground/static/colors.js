/** Colors: blue for negative, orange for positive, apart for color-blind people too; classes; light and dark. */

/** @typedef {[number, number, number]} RGB */

/** @type {RGB[]} classes in maps and points: orange, blue, green, purple, red, brown, pink, olive, cyan, gray */
export const CLASSES = [
  [230, 120, 20],
  [20, 115, 190],
  [0, 150, 110],
  [150, 90, 180],
  [200, 60, 50],
  [130, 90, 70],
  [220, 120, 180],
  [140, 140, 30],
  [30, 170, 190],
  [110, 110, 110],
];

/** @type {RGB} */
const NEGATIVE = [20, 115, 190];
/** @type {RGB} */
const POSITIVE = [230, 120, 20];

/**
 * The colors of a theme.
 * @param {HTMLElement} root
 */
export function theme(root) {
  const dark = root.dataset.theme === "dark";
  return {
    dark,
    ground: /** @type {RGB} */ (dark ? [24, 27, 32] : [250, 250, 250]),
    ink: dark ? "#e8e8e8" : "#20242a",
    faint: dark ? "#8b929c" : "#6a717b",
    line: dark ? "#3a4048" : "#d6d9de",
    accent: dark ? "#6fb3ff" : "#0b62b8",
  };
}

/**
 * From blue (−1) over the ground (0) to orange (1).
 * @param {number} value
 * @param {RGB} ground
 * @returns {RGB}
 */
export function diverging(value, ground) {
  const side = value < 0 ? NEGATIVE : POSITIVE;
  const share = Math.min(1, Math.abs(value)) || 0;
  return /** @type {RGB} */ (ground.map((c, i) => Math.round(c + share * (side[i] - c))));
}

/**
 * @param {RGB} color
 * @param {number} [alpha]
 */
export function css(color, alpha = 1) {
  return `rgba(${color[0]},${color[1]},${color[2]},${alpha})`;
}

/**
 * From the dark end to the light end of a map whose lightness tells the value, also without color; 0 … 1.
 * @param {number} value
 * @returns {RGB}
 */
export function sequential(value) {
  const stops = [
    [22, 32, 74],
    [36, 88, 140],
    [48, 150, 152],
    [130, 200, 120],
    [250, 235, 130],
  ];
  const at = Math.max(0, Math.min(0.9999, value || 0)) * (stops.length - 1);
  const low = stops[Math.floor(at)];
  const high = stops[Math.floor(at) + 1];
  const share = at - Math.floor(at);
  return /** @type {RGB} */ (low.map((c, i) => Math.round(c + share * (high[i] - c))));
}
