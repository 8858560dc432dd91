/** Frames of the networks, one after the other, as fast as the screen shows them. */

const IDLE = 300; // ms between two looks at networks that stand still

export class Loop {
  fps = 0;
  #closed = false;
  #last = 0;
  #again = false; // something has changed while the last frame was on its way
  #wake = () => {};

  /**
   * @param {() => Promise<boolean>} look ask for a frame and paint it; false: nothing moves
   * @param {() => boolean} wanted whether anyone looks
   */
  constructor(look, wanted) {
    this.look = look;
    this.wanted = wanted;
  }

  async run() {
    while (!this.#closed) {
      this.#again = false;
      const moving = this.wanted() && !document.hidden && (await this.look());
      if (moving) await this.#painted();
      else if (!this.#again) await this.#rest();
    }
  }

  /** Something has changed: look now. */
  wake() {
    this.#again = true;
    this.#wake();
  }

  close() {
    this.#closed = true;
    this.#wake();
  }

  async #painted() {
    const now = await new Promise((resolve) => requestAnimationFrame(resolve));
    const rate = this.#last ? 1000 / Math.max(1, now - this.#last) : 0;
    this.fps = this.fps ? 0.9 * this.fps + 0.1 * rate : rate;
    this.#last = now;
  }

  #rest() {
    this.fps = this.#last = 0;
    return /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        const timer = setTimeout(resolve, IDLE);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      })
    );
  }
}
