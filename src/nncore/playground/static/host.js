/** The page outside notebooks: what anywidget gives to `render`, over a WebSocket that connects again when it is lost. */

import { render } from "./main.js";

/** @typedef {(content: any, buffers: DataView[]) => void} Callback */

const FIRST_WAIT = 250; // milliseconds
const LONGEST_WAIT = 4000;
const LARGEST = 1 << 20; // bytes that the server takes

/** The callbacks of events. */
function listeners() {
  /** @type {Map<string, Set<Callback>>} */
  const all = new Map();
  /** @param {string} event */
  const of = (event) => all.get(event) ?? new Set();
  return {
    /** @param {string} event @param {Callback} callback */
    on(event, callback) {
      all.set(event, of(event).add(callback));
    },
    /** @param {string} event @param {Callback} [callback] */
    off(event, callback) {
      if (callback) of(event).delete(callback);
      else all.delete(event);
    },
    /** @param {string} event @param {any} content @param {DataView[]} [buffers] */
    tell(event, content, buffers = []) {
      for (const callback of [...of(event)]) callback(content, buffers);
    },
  };
}

/**
 * A message from Python: JSON, or the length of a JSON header, the header, and the bytes of arrays.
 * @param {string | ArrayBuffer} data
 * @returns {[any, DataView[]]}
 */
function decodeMessage(data) {
  if (typeof data === "string") return [JSON.parse(data), []];
  const length = new DataView(data).getUint32(0, true);
  const header = new TextDecoder().decode(new Uint8Array(data, 4, length));
  return [JSON.parse(header), [new DataView(data, 4 + length)]];
}

/**
 * Connect to the server that the page is from, and again and again; `opened` is called once.
 * @param {string} address
 * @param {(host: import("./types").Host & { page: boolean }) => void} opened
 */
function hostOver(address, opened) {
  const { on, off, tell } = listeners();
  /** @type {WebSocket} */
  let socket;
  let wait = FIRST_WAIT;
  let before = false; // was it connected before?

  /** @param {any} content */
  function send(content) {
    const text = JSON.stringify(content);
    const refuse = (/** @type {string} */ message) =>
      queueMicrotask(() => tell("msg:custom", { type: "refused", id: content.id, message }));
    if (socket.readyState !== WebSocket.OPEN) refuse("the connection is lost");
    else if (new TextEncoder().encode(text).length > LARGEST) refuse("this is too large to be sent");
    else socket.send(text);
  }

  function open() {
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => tell("msg:custom", ...decodeMessage(data));
    socket.onopen = () => {
      wait = FIRST_WAIT;
      if (before) tell("connection", true);
      else opened({ page: true, send, on, off });
      before = true;
    };
    socket.onclose = () => {
      if (wait === FIRST_WAIT && before) tell("connection", false);
      setTimeout(open, wait);
      wait = Math.min(LONGEST_WAIT, 2 * wait);
    };
  }

  open();
  window.addEventListener("pagehide", () => socket.close()); // so that a reload finds its session free
}

const el = /** @type {HTMLElement} */ (document.getElementById("playground"));
hostOver(new URL("socket", location.href).href.replace(/^http/, "ws"), (model) => render({ model, el }));
