/** A small picture of each data set, to choose it by: made here, not the data themselves. */

/** @typedef {[number, number, number]} Dot x₁, x₂ in −1 … 1, and a class, or a number from 0 to 1 */

const TURN = 2 * Math.PI;

/**
 * Numbers from 0 to 1 that look random and are always the same.
 * @param {number} i
 */
function scattered(i) {
  return (i * 0.618034) % 1;
}

/**
 * @param {number} count
 * @param {(i: number, share: number) => Dot} dot
 */
function dots(count, dot) {
  return Array.from({ length: count }, (_, i) => dot(i, (i + 0.5) / count));
}

/** @param {(x: number, y: number) => number} value */
function overPlane(value) {
  return dots(90, (i, share) => {
    const [x, y] = [1.8 * scattered(i) - 0.9, 1.8 * share - 0.9];
    return [x, y, value(x, y)];
  });
}

/**
 * @param {number} x
 * @param {number} y
 */
function bump(x, y) {
  return Math.exp(-5 * (x * x + y * y));
}

/** @param {[number, number][]} centers */
function clouds(centers) {
  return dots(24 * centers.length, (i) => {
    const [x, y] = centers[i % centers.length];
    const [angle, radius] = [TURN * scattered(i), 0.3 * Math.sqrt(scattered(7 * i + 1))];
    return [x + radius * Math.cos(angle), y + radius * Math.sin(angle), i % centers.length];
  });
}

/** @param {number} arms */
function spiral(arms) {
  return dots(34 * arms, (i, share) => {
    const angle = 1.6 * TURN * share + (TURN * (i % arms)) / arms;
    return [share * Math.sin(angle), share * Math.cos(angle), i % arms];
  });
}

/** @returns {Dot[]} */
function moons() {
  return dots(40, (i, share) => {
    const [x, y] = [Math.cos(Math.PI * share), Math.sin(Math.PI * share)];
    return i % 2 ? [0.6 * x + 0.3, 0.25 - 0.7 * y, 1] : [0.6 * x - 0.3, 0.7 * y - 0.25, 0];
  });
}

/** @returns {Dot[]} */
function rings() {
  return dots(72, (i, share) => {
    const radius = i % 2 ? 0.85 : 0.35 * Math.sqrt(scattered(i));
    return [radius * Math.cos(TURN * share), radius * Math.sin(TURN * share), i % 2];
  });
}

/**
 * By what the name of a data set begins or ends with.
 * @type {[RegExp, () => Dot[]][]}
 */
const SKETCHES = [
  [/spirals?_?3|three_?spiral/, () => spiral(3)],
  [/spiral/, () => spiral(2)],
  [/moon/, moons],
  [/circle|ring/, rings],
  [/xor/, () => overPlane((x, y) => Number(x * y > 0))],
  [/check|chess/, () => overPlane((x, y) => Math.abs(Math.floor(1.5 * x + 9) + Math.floor(1.5 * y + 9)) % 2)],
  [
    /gauss|three|blobs|clusters/,
    () =>
      clouds([
        [-0.5, -0.45],
        [0.55, -0.3],
        [0, 0.55],
      ]),
  ],
  [
    /two|cloud|linear/,
    () =>
      clouds([
        [-0.45, -0.4],
        [0.45, 0.4],
      ]),
  ],
  [/plane|slope/, () => overPlane((x, y) => (x + y + 2) / 4)],
  [/hill|bump|peak/, () => overPlane((x, y) => bump(x - 0.4, y - 0.4) + bump(x + 0.4, y + 0.4))],
  [/^sine/, () => dots(40, (_, share) => [1.8 * share - 0.9, 0.7 * Math.sin(8 * share), 0.5])],
  [/wave|sin|ripple/, () => overPlane((x, y) => 0.5 + 0.5 * Math.sin(5 * x) * Math.cos(3 * y))],
  [/saddle/, () => overPlane((x, y) => (x * y + 1) / 2)],
];

/**
 * @param {string} name
 * @returns {Dot[] | null} null: there is no sketch of it
 */
export function sketched(name) {
  const found = SKETCHES.find(([pattern]) => pattern.test(name));
  return found ? found[1]() : null;
}
