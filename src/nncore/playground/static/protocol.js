/** Requests and their replies over anywidget's messages: JSON, and the bytes of arrays beside it. */

/** @typedef {import("./types").Host} Host */
/** @typedef {import("./types").Request} Request */
/** @typedef {import("./types").Arrays} Arrays */

const KINDS = { float32: Float32Array, int32: Int32Array, int8: Int8Array, uint8: Uint8Array };

/**
 * The arrays of a message.
 * @param {import("./types").Header["arrays"]} entries
 * @param {DataView} bytes
 * @returns {Arrays}
 */
export function unpack(entries, bytes) {
  /** @type {Arrays} */
  const arrays = {};
  const whole = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice().buffer; // aligned
  for (const { name, dtype, shape, offset } of entries) {
    const count = shape.reduce((product, side) => product * side, 1);
    arrays[name] = { shape, data: new KINDS[dtype](whole, offset, count) };
  }
  return arrays;
}

/**
 * Ask, and get the reply that belongs to it.
 * @param {Host} host
 */
export function connect(host) {
  let last = Math.floor(Math.random() * 2 ** 40); // two displays of a widget hear each other's replies
  /** @type {Map<number, { resolve: (message: any) => void, reject: (error: Error) => void }>} */
  const waiting = new Map();

  /** @type {(content: any, buffers: DataView[]) => void} */
  function received(content, buffers) {
    const request = waiting.get(content.id);
    if (!request) return;
    waiting.delete(content.id);
    if (content.type === "refused") request.reject(new Error(content.message));
    else request.resolve({ header: content, arrays: content.arrays ? unpack(content.arrays, buffers[0]) : {} });
  }
  host.on("msg:custom", received);
  return {
    /**
     * @param {Request} request
     * @returns {Promise<any>}
     */
    ask(request) {
      const id = ++last;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        host.send({ ...request, id });
      });
    },
    /** The connection is lost: what was asked will not be answered. */
    lost() {
      for (const { reject } of waiting.values()) reject(new Error("the connection is lost"));
      waiting.clear();
    },
    close() {
      host.off("msg:custom", received);
    },
  };
}
