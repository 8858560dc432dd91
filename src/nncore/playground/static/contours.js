/** Lines of equal height through a grid of numbers, by marching squares. */

/**
 * The segments of one contour, x₁ y₁ x₂ y₂ each, in steps of the grid: the number in row i and column j lies at (j, i).
 * @param {ArrayLike<number>} heights rows one after the other
 * @param {number} columns
 * @param {number} rows
 * @param {number} level
 */
export function contour(heights, columns, rows, level) {
  /** @type {number[]} */
  const segments = [];
  for (let i = 0; i + 1 < rows; i++) {
    for (let j = 0; j + 1 < columns; j++) {
      const first = i * columns + j;
      const [a, b, c, d] = [heights[first], heights[first + 1], heights[first + columns + 1], heights[first + columns]];
      if (a > level === b > level && b > level === c > level && c > level === d > level) continue;
      const corners = [a, b, c, d];
      const found = cellCrossings(corners, level);
      const middle = (corners[0] + corners[1] + corners[2] + corners[3]) / 4;
      if (found.length === 4 && middle > level === corners[0] > level)
        found.push(/** @type {[number, number]} */ (found.shift()));
      for (const [x, y] of found) segments.push(j + x, i + y);
    }
  }
  return segments;
}

/**
 * Where the level crosses the sides of a cell, clockwise from the top.
 * @param {number[]} corners clockwise from the top left
 * @param {number} level
 */
function cellCrossings(corners, level) {
  const at = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0, 1],
  ];
  /** @type {[number, number][]} */
  const found = [];
  for (let side = 0; side < 4; side++) {
    const [a, b] = [corners[side], corners[(side + 1) % 4]];
    if (a > level === b > level) continue;
    const share = (level - a) / (b - a);
    const [from, to] = [at[side], at[(side + 1) % 4]];
    found.push([from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])]);
  }
  return found;
}

/**
 * Stroke segments of `contour`, stretched over a rectangle whose grid points are the middles of cells.
 * @param {CanvasRenderingContext2D} g
 * @param {number[]} segments
 * @param {number} columns
 * @param {number} rows
 * @param {[number, number, number, number]} box left, top, width, height
 */
export function strokeContour(g, segments, columns, rows, box) {
  const [left, top, width, height] = box;
  const [w, h] = [width / columns, height / rows];
  g.beginPath();
  for (let k = 0; k < segments.length; k += 4) {
    g.moveTo(left + (segments[k] + 0.5) * w, top + (segments[k + 1] + 0.5) * h);
    g.lineTo(left + (segments[k + 2] + 0.5) * w, top + (segments[k + 3] + 0.5) * h);
  }
  g.stroke();
}
