/** Where everything of a network lies on its canvas, and what lies under a point. */

/** @typedef {import("./types").Inspect} Inspect */
/**
 * One column: the inputs (0), a hidden layer or the outputs; `shown` of its units fit.
 * @typedef {{ x: number, units: number, shown: number, top: number }} Column
 */
/**
 * `pitch`: between the middles of two units of a column; `step`: of two columns; `size`: side of a unit.
 * @typedef {{ columns: Column[], width: number, height: number, header: number, pitch: number, step: number, size: number,
 *   picture: number }} Layout
 */

const AREA = [236, 420]; // height of the columns, least and most
const BESIDES = { one: 400, two: 560, lesson: 100 }; // height of the window that other things need
const WIDEST = 58; // from unit to unit
export const ROOMY = 78; // between columns: there is room for a number between two buttons
const NARROWEST = 48; // from column to column: below it the canvas is wider than its place
const MARGIN = { left: 80, right: 92 }; // to the middle of the first and from that of the last column

/**
 * How high the columns may be in this window, so that there is room for what lies below.
 * @param {boolean} two networks side by side
 * @param {boolean} lesson above them
 */
export function tallest(two, lesson) {
  const room = window.innerHeight - (two ? BESIDES.two : BESIDES.one) - (lesson ? BESIDES.lesson : 0);
  return Math.max(AREA[0] + 40, Math.min(AREA[1], room));
}

/** @param {number} columns */
export function leastWidth(columns) {
  return MARGIN.left + MARGIN.right + NARROWEST * (columns - 1);
}

/**
 * @param {number} width
 * @param {number[]} counts units of each column, the inputs first
 * @param {boolean} picture the inputs are one picture
 * @param {number} [tall] the height of the columns at most
 * @returns {Layout}
 */
export function networkLayout(width, counts, picture, tall = AREA[1]) {
  const drawn = picture ? [1, ...counts.slice(1)] : counts;
  const most = Math.max(...drawn);
  const area = Math.max(AREA[0], Math.min(picture ? tall + 100 : tall, most * WIDEST)); // weights of pictures need room
  const pitch = Math.max(26, Math.min(WIDEST, area / most));
  const step = (width - MARGIN.left - MARGIN.right) / (drawn.length - 1);
  const size = Math.round(Math.min(pitch * 0.8, Math.max(16, step * 0.6)));
  const header = step < 112 ? 108 : 84;
  const fit = Math.floor(area / pitch);
  const columns = drawn.map((units, i) => {
    const shown = units <= fit ? units : fit - 1;
    const lines = units <= fit ? units : fit;
    return { x: MARGIN.left + step * i, units, shown, top: header + (area - lines * pitch) / 2 };
  });
  return {
    columns,
    width,
    height: header + area + 6,
    header,
    pitch,
    step,
    size,
    picture: picture ? Math.min(84, step * 0.7) : 0,
  };
}

/**
 * Middle of a unit; of a whole picture too.
 * @param {Layout} layout
 * @param {number} column
 * @param {number} unit
 */
export function unitY(layout, column, unit) {
  return layout.columns[column].top + (unit + 0.5) * layout.pitch;
}

/**
 * Half the width of a column's units.
 * @param {Layout} layout
 * @param {number} column
 */
export function halfSize(layout, column) {
  return (column === 0 && layout.picture ? layout.picture : layout.size) / 2;
}

/**
 * The share of its height that a line has gone through at a share of its width: the curve of `bezierCurveTo`.
 * @param {number} across
 */
function lineRise(across) {
  let [low, high] = [0, 1];
  for (let i = 0; i < 20; i++) {
    const t = (low + high) / 2;
    if (1.5 * t * (1 - t) + t ** 3 < across) low = t;
    else high = t;
  }
  return 3 * low ** 2 - 2 * low ** 3;
}

/**
 * The weight whose line is nearest to a point between column − 1 and column.
 * @param {Layout} layout
 * @param {number} column
 * @param {number} x
 * @param {number} y
 * @returns {{ layer: number, unit: number, input: number } | null}
 */
function lineAt(layout, column, x, y) {
  const from = layout.columns[column - 1];
  const left = from.x + halfSize(layout, column - 1);
  const across = (x - left) / (layout.columns[column].x - halfSize(layout, column) - left);
  if (across <= 0.02 || across >= 0.98 || (column === 1 && layout.picture)) return null;
  const share = lineRise(across);
  let nearest = 6;
  let found = null;
  for (let unit = 0; unit < layout.columns[column].shown; unit++) {
    for (let input = 0; input < from.shown; input++) {
      const start = unitY(layout, column - 1, input);
      const distance = Math.abs(start + share * (unitY(layout, column, unit) - start) - y);
      if (distance < nearest) [nearest, found] = [distance, { layer: column - 1, unit, input }];
    }
  }
  return found;
}

/**
 * What of a column lies at a height.
 * @param {Layout} layout
 * @param {number} column
 * @param {number} dx from the middle of the column
 * @param {number} y
 * @returns {Omit<Inspect, "run"> | null}
 */
function columnAt(layout, column, dx, y) {
  const layer = column - 1;
  if (layer < 0) return null;
  if (y < 52) return { kind: "layer", layer, unit: 0, input: 0 };
  const unit = Math.floor((y - layout.columns[column].top) / layout.pitch);
  if (y < layout.header || unit < 0 || unit >= layout.columns[column].shown) return null;
  const dy = y - unitY(layout, column, unit);
  const half = layout.size / 2;
  if (Math.hypot(dx + half, dy - half) < 6) return { kind: "weight", layer, unit, input: -1 };
  return Math.abs(dy) <= half + 2 ? { kind: "unit", layer, unit, input: 0 } : null;
}

/**
 * @param {Layout} layout
 * @param {number} x
 * @param {number} y
 * @param {number} run
 * @returns {Inspect | null}
 */
export function underPoint(layout, x, y, run) {
  for (let column = 0; column < layout.columns.length; column++) {
    const dx = x - layout.columns[column].x;
    const reach = y < 52 ? Math.min(48, layout.step / 2) : halfSize(layout, column) + 3;
    const found = Math.abs(dx) <= reach ? columnAt(layout, column, dx, y) : null;
    if (found) return { run, ...found };
  }
  const column = layout.columns.findIndex((right) => right.x > x);
  const line = column > 0 && y > layout.header ? lineAt(layout, column, x, y) : null;
  return line && { run, kind: "weight", ...line };
}

/**
 * The unit or layer title that an arrow key leads to.
 * @param {Layout} layout
 * @param {Inspect | null} from
 * @param {string} key
 * @param {number} run
 * @returns {Inspect}
 */
export function neighbor(layout, from, key, run) {
  if (!from) return { run, kind: "unit", layer: 0, unit: 0, input: 0 };
  const sideways = { ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0;
  const layer = Math.max(0, Math.min(layout.columns.length - 2, from.layer + sideways));
  const last = layout.columns[layer + 1].shown - 1;
  const at = (from.kind === "layer" ? -1 : from.unit) + ({ ArrowUp: -1, ArrowDown: 1 }[key] ?? 0);
  if (at < 0) return { run, kind: "layer", layer, unit: 0, input: 0 };
  return { run, kind: "unit", layer, unit: Math.min(last, at), input: 0 };
}
