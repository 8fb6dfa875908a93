// Where on the timeline the page is, and how it moves.

const SPEEDS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000]; // steps per second

export class Player {
  constructor(length, onChange) {
    this.length = length;
    this.onChange = onChange;
    this.step = 0;
    this.playing = false;
    this.speed = 10;
  }

  static get speeds() { return SPEEDS; }

  moveTo(step) {
    this.step = Math.min(Math.max(Math.round(step), 0), this.length);
    if (this.step === this.length) this.playing = false;
    this.onChange();
  }

  pauseAt(step) {
    this.playing = false;
    this.moveTo(step);
  }

  toggle() {
    if (!this.playing && this.step === this.length) this.step = 0;
    this.playing = !this.playing && this.length > 0;
    this.onChange();
    if (this.playing) this.#run();
  }

  changeSpeed(direction) {
    const index = SPEEDS.indexOf(this.speed) + direction;
    this.speed = SPEEDS[Math.min(Math.max(index, 0), SPEEDS.length - 1)];
    this.onChange();
  }

  #run() {
    let before = performance.now(), due = 0;
    const tick = (now) => {
      if (!this.playing) return;
      due += (Math.max(0, now - before) / 1000) * this.speed;
      before = now;
      const whole = Math.floor(due);
      due -= whole;
      if (whole) this.moveTo(this.step + whole);
      this.frame = requestAnimationFrame(tick);
    };
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(tick);
  }
}
