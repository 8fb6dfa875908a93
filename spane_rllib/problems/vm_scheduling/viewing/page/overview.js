// The whole episode on one bar, to be dragged along: loads of one policy, or the total waits of two.

import { colour, line, surface, trace, write } from "../../../../viewer/page/surface.js";
import { count } from "../../../../viewer/page/format.js";

const MARKS = 7; // height of the row of ticks of each episode
const EDGE = 6;

export class Overview {
  constructor(element, timeline, moveTo) {
    this.element = element;
    this.canvas = element.querySelector("canvas");
    this.timeline = timeline;
    const move = (event) => {
      const box = element.getBoundingClientRect();
      const share = (event.clientX - box.left - EDGE) / (box.width - 2 * EDGE);
      moveTo(Math.round(Math.min(Math.max(share, 0), 1) * timeline.length));
    };
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      move(event);
    });
    element.addEventListener("pointermove", (event) => element.hasPointerCapture(event.pointerId) && move(event));
    element.setAttribute("aria-valuemin", "0");
    element.setAttribute("aria-valuemax", String(timeline.length));
  }

  // The curves change with the window and the theme only, so they are drawn once to a canvas of their own.
  invalidate() { this.background = null; }

  draw(step, label) {
    const { context, width, height } = surface(this.canvas);
    if (!this.background && width && height) this.background = this.#paint(width, height);
    if (this.background) context.drawImage(this.background, 0, 0, width, height);
    const x = this.#x(step, width);
    line(context, x, 0, x, height, colour("ink"));
    context.fillStyle = colour("ink");
    context.beginPath();
    context.moveTo(x - 5, 0);
    context.lineTo(x + 5, 0);
    context.lineTo(x, 7);
    context.fill();
    this.element.setAttribute("aria-valuenow", String(step));
    this.element.setAttribute("aria-valuetext", label);
  }

  #x(step, width) { return EDGE + (step / Math.max(1, this.timeline.length)) * (width - 2 * EDGE); }

  #paint(width, height) {
    const copy = document.createElement("canvas");
    const { context } = surface(copy, width, height);
    const { timeline } = this;
    const bottom = height - MARKS * timeline.episodes.length - 3;
    line(context, EDGE, bottom + 0.5, width - EDGE, bottom + 0.5);
    if (timeline.pair) this.#pair(context, width, bottom);
    else this.#loads(context, width, bottom);
    timeline.episodes.forEach((_, i) => this.#marks(context, i, width, bottom));
    if (timeline.difference !== null) this.#flag(context, this.#x(timeline.difference, width), bottom);
    return copy;
  }

  #loads(context, width, bottom) {
    const [episode] = this.timeline.episodes;
    for (const name of ["cpu", "memory"]) {
      trace(context, (i) => episode[name][i], 0, episode.length, (i) => this.#x(i, width), (share) => bottom - share * (bottom - 4));
      context.strokeStyle = colour(name);
      context.stroke();
      if (name === "cpu") {
        context.lineTo(this.#x(episode.length, width), bottom);
        context.lineTo(this.#x(0, width), bottom);
        context.globalAlpha = 0.14;
        context.fillStyle = colour(name);
        context.fill();
        context.globalAlpha = 1;
      }
    }
  }

  // Total waits, or cores in use, of two policies; each ends where its episode does.
  #pair(context, width, bottom) {
    const { timeline } = this;
    const column = timeline.waiting ? "totalWait" : "cpu";
    const highest = timeline.waiting ? Math.max(1, ...timeline.episodes.map((episode) => episode.totalWait[episode.length])) : 1;
    timeline.episodes.forEach((episode, i) => {
      const value = (step) => episode[column][timeline.positions(step)[i]];
      trace(context, value, 0, episode.afterDecision.length - 1, (step) => this.#x(step, width), (level) => bottom - (level / highest) * (bottom - 8));
      context.strokeStyle = colour(i ? "memory" : "cpu");
      context.setLineDash(i ? [6, 3] : []);
      context.lineWidth = 2;
      context.stroke();
      context.setLineDash([]);
      context.lineWidth = 1;
    });
  }

  #marks(context, i, width, bottom) {
    const top = bottom + 3 + i * MARKS;
    context.fillStyle = colour("wait");
    for (const step of this.timeline.ticks[i]) context.fillRect(this.#x(step, width) - 0.5, top, 1.5, MARKS - 2);
    context.fillStyle = colour("alarm");
    for (const step of this.timeline.alarms[i]) {
      const x = this.#x(step, width), y = top + (MARKS - 2) / 2;
      context.beginPath();
      for (const [dx, dy] of [[0, -6], [5, 0], [0, 6], [-5, 0]]) context.lineTo(x + dx, y + dy);
      context.fill();
    }
  }

  #flag(context, x, bottom) {
    context.setLineDash([2, 2]);
    line(context, x, 0, x, bottom, colour("ink"));
    context.setLineDash([]);
    const text = `first difference: ${count(this.timeline.difference)}`;
    const left = x > this.canvas.clientWidth / 2;
    write(context, text, x + (left ? -5 : 5), 20, { align: left ? "right" : "left", fill: colour("ink") });
  }
}
