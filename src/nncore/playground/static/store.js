/** The state as text for the address, and back: lists of values in a fixed order, so that the address stays short. */

/** @typedef {import("./types").State} State */

const VERSION = 1; // of the order below
const VIEWS = ["network", "landscape", "momentum", "initialization"];
const DATA = ["kind", "n", "noise", "split", "seed", "features", "points"];
const RUN = ["layers", "loss", "optimizer", "schedule", "regularizer", "clip", "batch_size", "seed"];
const LAYER = ["units", "activation", "norm", "dropout", "init"];
const LANDSCAPE = ["name", "eigenvalues", "start", "steps", "racers"];
const MOMENTUM = ["rate", "momentum"];
const INITIALIZATION = ["depth", "width", "activation", "init", "scale"];

/**
 * @template T
 * @param {T} value plain data
 * @returns {T}
 */
export function copy(value) {
  return JSON.parse(JSON.stringify(value));
}

/**
 * The values of the fields, in their order.
 * @param {string[]} fields
 * @param {any} from
 */
function packed(fields, from) {
  return fields.map((field) => from[field]);
}

/**
 * @param {string[]} fields
 * @param {unknown} values
 * @returns {any}
 */
function unpacked(fields, values) {
  const list = listed(values);
  if (list.length !== fields.length) throw new Error(`not ${fields.length} values`);
  return Object.fromEntries(fields.map((field, i) => [field, list[i]]));
}

/**
 * @param {unknown} values
 * @returns {any[]}
 */
function listed(values) {
  if (!Array.isArray(values)) throw new Error("not a list");
  return values;
}

/**
 * Base64 without the characters that addresses and messengers change.
 * @param {string} text
 */
function base64(text) {
  const bytes = new TextEncoder().encode(text);
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** @param {string} encoded */
function plain(encoded) {
  const binary = atob(encoded.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
}

/**
 * @param {State} state
 * @returns {string} of the characters A–Z, a–z, 0–9, - and _
 */
export function encode(state) {
  const runs = state.runs.map((run) => packed(RUN, { ...run, layers: run.layers.map((layer) => packed(LAYER, layer)) }));
  return base64(
    JSON.stringify([
      VERSION,
      state.view,
      state.lesson,
      packed(DATA, state.data),
      runs,
      state.speed,
      packed(LANDSCAPE, state.landscape),
      packed(MOMENTUM, state.momentum),
      packed(INITIALIZATION, state.initialization),
    ]),
  );
}

/**
 * @param {string} text what `encode` gave, or anything else
 * @returns {State | null} null: not a state. Python looks at the values.
 */
export function decode(text) {
  try {
    const values = listed(JSON.parse(plain(text)));
    const [version, view, lesson, data, runs, speed, landscape, momentum, initialization, ...rest] = values;
    if (version !== VERSION || !VIEWS.includes(view) || rest.length) return null;
    return {
      view,
      lesson,
      speed,
      data: unpacked(DATA, data),
      runs: listed(runs).map(decodedRun),
      landscape: unpacked(LANDSCAPE, landscape),
      momentum: unpacked(MOMENTUM, momentum),
      initialization: unpacked(INITIALIZATION, initialization),
    };
  } catch {
    return null;
  }
}

/** @param {unknown} values */
function decodedRun(values) {
  const run = unpacked(RUN, values);
  return { ...run, layers: listed(run.layers).map((layer) => unpacked(LAYER, layer)) };
}
