/** A training in WebAssembly: the programs that nncore compiles, and their arrays. */

/** @typedef {{ wasm: string, arrays: Record<string, [string, number[]]>, constants: Record<string, number>, data: string[] }} Program */

const TYPES = { float32: Float32Array, float64: Float64Array, int64: BigInt64Array };

/**
 * @param {Program} program
 * @returns {Promise<Training>}
 */
export async function training(program) {
  const { instance } = await WebAssembly.instantiate(Uint8Array.from(atob(program.wasm), (c) => c.charCodeAt(0)));
  return new Training(program, instance.exports);
}

export class Training {
  /** @param {Program} program @param {Record<string, any>} calls the functions of the module */
  constructor({ arrays, constants }, calls) {
    this.calls = calls;
    this.constants = constants;
    this.step = 0;
    /** @type {Record<string, any>} the arrays by name, as Python writes them */
    this.arrays = {};
    for (const [name, [type, shape]] of Object.entries(arrays)) {
      const size = shape.reduce((a, b) => a * b, 1);
      this.arrays[name] = new (/** @type {any} */ (TYPES)[type])(calls.memory.buffer, calls[name](), size);
    }
  }

  get done() {
    return this.step === this.constants.STEPS;
  }

  /**
   * Begin again.
   * @param {number} start which initial parameters
   * @param {number} data which examples
   */
  restart(start, data) {
    const own = this.arrays;
    /** @param {string} name @param {any} choices @param {number} k */
    const choose = (name, choices, k) => own[name].set(choices.subarray(k * own[name].length, (k + 1) * own[name].length));
    choose("parameters", own.starts, start);
    choose("X", own.X_sets, data);
    choose("y", own.y_sets, data);
    own.m.fill(0);
    own.v.fill(0);
    this.step = 0;
  }

  /** @param {number} count steps, fewer at the end */
  run(count) {
    this.step += this.calls.train(this.step, Math.min(this.step + count, this.constants.STEPS));
  }

  /** The mean loss of each epoch; known are the sums over the batches, each with a penalty. */
  losses() {
    const { EPOCH, EXAMPLES } = this.constants;
    const losses = new Float64Array(Math.floor(this.step / EPOCH));
    for (let s = 0; s < losses.length * EPOCH; s++) losses[Math.floor(s / EPOCH)] += this.arrays.losses[2 * s] / EXAMPLES;
    return losses;
  }
}
