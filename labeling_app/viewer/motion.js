// Steps at an even rate, counted from the start: a late frame does not make the ones after it late.

export class Loop {
  #request = 0;

  /** Call `show(step)` with step 0, 1, 2, ... every `seconds`, in time with the screen. */
  start(seconds, show) {
    this.stop();
    const began = performance.now();
    let last = -1;
    const tick = (now) => {
      const step = Math.max(0, Math.floor((now - began) / 1000 / seconds));
      if (step !== last) show(step);
      last = step;
      this.#request = requestAnimationFrame(tick);
    };
    show(0);
    last = 0;
    this.#request = requestAnimationFrame(tick);
  }

  stop() {
    cancelAnimationFrame(this.#request);
    this.#request = 0;
  }
}
