/** The pictures of a race: the map with its trails, and the table. */

import { image, sheet, ticks } from "./canvas.js";
import { sequential } from "./colors.js";
import { contour, strokeContour } from "./contours.js";
import { h, short } from "./dom.js";
import { explorePath, powerOfTen } from "./explorecharts.js";

/** @typedef {CanvasRenderingContext2D} Pen */
/** @typedef {(point: number[]) => [number, number]} Place */
/** @typedef {import("./types").App} App */
/** @typedef {import("./types").Message<import("./types").Landscape>} Race */

const RACE_DASHES = [[], [7, 4], [2, 3]]; // of racers that share a color

/**
 * The landscape, and the racers' trails on it.
 * @param {App} app
 */
export function racePicture(app) {
  const below = sheet("The landscape: dark is low");
  const above = sheet("The paths of the optimizers. Click, drag or press arrow keys to move the start", "explore-trails");
  const el = h("div.explore-stack", {}, below.el, above.el);
  let box = [-1, 1, -1, 1];
  /** @type {unknown[]} */
  let painted = [];
  const wide = () => box[1] - box[0];
  const high = () => box[3] - box[2];
  return {
    el,
    target: above.el,
    /** @type {(share: [number, number]) => [number, number]} */
    pointAt: ([x, y]) => [fourDigits(box[0] + x * wide()), fourDigits(box[2] + y * high())],
    /** @type {(point: [number, number]) => [number, number]} */
    shareOf: ([x, y]) => [(x - box[0]) / wide(), (y - box[2]) / high()],
    /** @param {Race} race */
    ground(race) {
      box = race.header.box;
      el.style.setProperty("--ratio", String(wide() / high()));
      const now = [race, ...below.size(), window.devicePixelRatio];
      if (now.every((value, i) => value === painted[i])) return;
      painted = now;
      below.draw((g, width, height) => paintGround(g, width, height, race));
    },
    /** @type {(race: Race, at: number, start: [number, number]) => void} */
    paint: (race, at, start) => above.draw((g, width, height) => paintTrails(g, width, height, race, at, start, app)),
  };
}

/** @type {(g: Pen, width: number, height: number, race: Race, at: number, start: [number, number], app: App) => void} */
function paintTrails(g, width, height, race, at, start, app) {
  const {
    box: [x0, x1, y0, y1],
    minima,
    racers,
  } = race.header;
  /** @type {Place} */
  const place = ([x, y]) => [
    raceInSight(((x - x0) / (x1 - x0)) * width, width),
    raceInSight((1 - (y - y0) / (y1 - y0)) * height, height),
  ];
  for (const minimum of minima) raceStar(g, ...place(minimum));
  racers.forEach((racer, i) => paintTrail(g, race, i, at, place, app.catalog.colors[racer.name] ?? racer.color));
  raceRing(g, ...place(start));
}

/** @param {number} value */
function fourDigits(value) {
  return Number(value.toPrecision(4));
}

/**
 * Canvases lose lines that go very far.
 * @param {number} pixel
 * @param {number} size
 */
function raceInSight(pixel, size) {
  return Math.max(-20 * size, Math.min(20 * size, pixel));
}

/** @type {(g: Pen, width: number, height: number, race: Race) => void} */
function paintGround(g, width, height, race) {
  const {
    shape: [rows, columns],
    data,
  } = race.arrays.surface;
  const pixels = new Uint8ClampedArray(4 * data.length);
  data.forEach((value, k) => pixels.set([...sequential(value), 255], 4 * k));
  /** @type {[number, number, number, number]} */
  const whole = [0, 0, width, height];
  image(g, pixels, columns, rows, whole);
  g.strokeStyle = "rgba(255,255,255,0.35)";
  g.lineWidth = 0.8;
  for (const level of race.arrays.levels.data) strokeContour(g, contour(data, columns, rows, level), columns, rows, whole);
  const [x0, x1, y0, y1] = race.header.box;
  g.font = "11px system-ui, sans-serif";
  g.textAlign = "center";
  for (const x of ticks(x0, x1, 6)) raceText(g, short(x), ((x - x0) / (x1 - x0)) * width, height - 5, width);
  g.textAlign = "left";
  for (const y of ticks(y0, y1, 5)) raceText(g, short(y), 4, (1 - (y - y0) / (y1 - y0)) * height + 4, width, height);
}

/** @type {(g: Pen, text: string, x: number, y: number, width: number, height?: number) => void} */
function raceText(g, text, x, y, width, height = Infinity) {
  if (x > width - 12 || (g.textAlign === "center" && x < 12) || y < 12 || y > height - 20) return; // in a corner
  g.lineWidth = 3;
  g.strokeStyle = "rgba(0,0,0,0.55)";
  g.strokeText(text, x, y);
  g.fillStyle = "#fff";
  g.fillText(text, x, y);
}

/** @type {(g: Pen, race: Race, i: number, at: number, place: Place, color: string) => void} */
function paintTrail(g, race, i, at, place, color) {
  const {
    data,
    shape: [points],
  } = race.arrays[`${i}/path`];
  const last = Math.min(at, points - 1);
  const whole = Math.floor(last);
  const line = [];
  for (let k = 0; k <= whole; k++) line.push(place([data[2 * k], data[2 * k + 1]]));
  if (last > whole) {
    const [x, y] = place([data[2 * whole + 2], data[2 * whole + 3]]);
    line.push([line[whole][0] + (last - whole) * (x - line[whole][0]), line[whole][1] + (last - whole) * (y - line[whole][1])]);
  }
  g.lineJoin = "round";
  for (const [style, width] of /** @type {[string, number][]} */ ([
    ["rgba(255,255,255,0.85)", 4.5],
    [color, 2.4],
  ])) {
    g.strokeStyle = style;
    g.lineWidth = width;
    g.setLineDash(style === color ? raceDash(race, i) : []);
    explorePath(g, line);
  }
  g.setLineDash([]);
  raceDisk(g, line[line.length - 1], 5.5, color);
}

/** @type {(race: Race, i: number) => number[]} the dashes of a racer: solid, but for further ones of the same color */
export function raceDash(race, i) {
  const { racers } = race.header;
  return RACE_DASHES[racers.slice(0, i).filter((other) => other.name === racers[i].name).length % RACE_DASHES.length];
}

/** @type {(g: Pen, at: number[], radius: number, color: string) => void} */
function raceDisk(g, [x, y], radius, color) {
  g.beginPath();
  g.arc(x, y, radius, 0, 7);
  g.fillStyle = color;
  g.fill();
  g.strokeStyle = "#fff";
  g.lineWidth = 1.8;
  g.stroke();
}

/** @type {(g: Pen, x: number, y: number) => void} */
function raceRing(g, x, y) {
  for (const [style, width] of /** @type {[string, number][]} */ ([
    ["#fff", 4],
    ["#000", 1.6],
  ])) {
    g.beginPath();
    g.arc(x, y, 8, 0, 7);
    g.strokeStyle = style;
    g.lineWidth = width;
    g.stroke();
  }
}

/** @type {(g: Pen, x: number, y: number) => void} */
function raceStar(g, x, y) {
  g.beginPath();
  for (let k = 0; k < 10; k++) {
    const [angle, radius] = [(k * Math.PI) / 5, k % 2 ? 4 : 9.5];
    g.lineTo(x + radius * Math.sin(angle), y - radius * Math.cos(angle));
  }
  g.closePath();
  g.fillStyle = "#fff";
  g.fill();
  g.strokeStyle = "#000";
  g.lineWidth = 1;
  g.stroke();
}

/**
 * Steps to the threshold, last loss, and why a racer ended.
 * @param {App} app
 */
export function raceTable(app) {
  const body = h("tbody");
  const columns = ["", `steps to ${powerOfTen(-6)}`, "last loss", "why it ended"];
  const el = h("table.explore-table", {}, h("thead", {}, h("tr", {}, ...columns.map((name) => h("th", {}, name)))), body);
  /** @type {(race: Race, steps: number) => void} */
  const fill = (race, steps) => {
    const rows = race.header.racers.map((racer, i) => {
      const losses = race.arrays[`${i}/loss`].data;
      const reached = race.header.threshold === null ? "–" : racer.steps === null ? `not in ${steps}` : String(racer.steps);
      const swatch = h("span.explore-swatch", { "aria-hidden": "true" });
      swatch.style.background = app.catalog.colors[racer.name] ?? racer.color;
      const cells = [h("td", {}, swatch, racer.label), h("td", {}, reached), h("td", {}, short(losses[losses.length - 1]))];
      return h("tr", {}, ...cells, h("td", {}, racer.ended ?? ""));
    });
    body.replaceChildren(...rows);
  };
  return { el, fill };
}
