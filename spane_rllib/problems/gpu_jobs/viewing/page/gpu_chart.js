// One policy: GPUs over time, the queue under them, and the jobs that wait now.

import { amount, clock, count, duration } from "../../../../viewer/page/format.js";
import { colour, heat, line, outline, surface, write } from "../../../../viewer/page/surface.js";
import { ganttPixels, queuePixels } from "./gpu_pixels.js";
import { firstReaching } from "./gpu_schedule.js";

export const GUTTER = 58;
const AXIS = 18, BOX = 17;

export const bandColour = (schedule, band) => heat((band + 1) / (schedule.bands + 0.25));

// The pictures stay as they are while only the moment moves.
export class GpuChart {
  constructor(canvas, strip, schedule) {
    Object.assign(this, { canvas, strip, schedule, key: "" });
  }

  // The places in the canvas: GPUs above, the axis, the queue below.
  layout(width, height) {
    const queue = Math.max(Math.round(0.24 * height), 36), plot = width - GUTTER - 1;
    return { left: GUTTER, plot, tall: height - queue - AXIS, floor: height, queueTop: height - queue };
  }

  draw(time, view, most, chosen) {
    const { context, width, height } = surface(this.canvas), place = this.layout(width, height);
    const ratio = window.devicePixelRatio || 1, schedule = this.schedule;
    const x = (at) => place.left + ((at - view.from) / (view.to - view.from)) * place.plot;
    this.#paint(context, place, view, most, ratio);
    context.putImageData(this.gantt, Math.round(place.left * ratio), 0);
    context.putImageData(this.queue, Math.round(place.left * ratio), Math.round(place.queueTop * ratio));
    // What comes later is known from the recording only.
    const now = Math.min(Math.max(x(time), place.left), width);
    context.globalAlpha = 0.68;
    context.fillStyle = colour("card");
    context.fillRect(now, 0, width - now, place.tall);
    context.fillRect(now, place.queueTop, width - now, height - place.queueTop);
    context.globalAlpha = 1;
    this.#label(context, place, view, x, most, height);
    line(context, now, 0, now, height, colour("ink"));
    if (chosen >= 0) this.#outlineJob(context, place, view, x, chosen);
    this.#drawStrip(time, chosen, schedule);
  }

  #paint(context, place, view, most, ratio) {
    const width = Math.max(Math.round(place.plot * ratio), 1);
    const key = [width, place.tall, place.queueTop, ratio, view.from, view.to, most, colour("card")].join();
    if (key === this.key) return;
    this.key = key;
    const ground = numbers(colour("chosen")), colours = Array.from({ length: this.schedule.bands }, (_, band) => numbers(bandColour(this.schedule, band)));
    this.gantt = ganttPixels(context, width, Math.max(Math.round(place.tall * ratio), 1), this.schedule, view, colours, ground);
    this.queue = queuePixels(context, width, Math.max(Math.round((place.floor - place.queueTop) * ratio), 1), this.schedule, view, most, colours, ground);
  }

  #label(context, place, view, x, most, height) {
    let first = 0;
    for (const [name, number] of this.schedule.types) {
      const top = (first / this.schedule.gpus) * place.tall, bottom = ((first + number) / this.schedule.gpus) * place.tall;
      if (first) line(context, 0, top, place.left + place.plot, top, colour("faint"));
      if (bottom - top >= 10) write(context, name.slice(0, 8), 0, Math.min((top + bottom) / 2, place.tall - 6), { fill: colour("ink") });
      if (bottom - top >= 30) write(context, `${count(number)} GPUs`, 0, (top + bottom) / 2 + 13);
      first += number;
    }
    const step = niceStep((view.to - view.from) / Math.max(place.plot / 110, 1)), from = this.schedule.begin;
    for (let at = Math.ceil((view.from - from) / step) * step; at <= view.to - from; at += step) {
      const on = x(from + at);
      line(context, on, place.tall, on, place.tall + 4, colour("faint"));
      if (on < place.left + place.plot - 80) write(context, clock(at), on + 3, place.tall + 10);
    }
    write(context, "waiting", 0, place.queueTop + 8, { fill: colour("ink") });
    write(context, count(most), place.left - 5, place.queueTop + 22, { align: "right" });
    write(context, "0", place.left - 5, height - 6, { align: "right" });
  }

  #outlineJob(context, place, view, x, chosen) {
    const { schedule } = this, tall = place.tall / schedule.gpus;
    for (let gpu = 0; gpu < schedule.gpus; gpu++) {
      for (let at = firstReaching(schedule.reach, view.from, schedule.lane[gpu], schedule.lane[gpu + 1]); at < schedule.lane[gpu + 1]; at++) {
        const run = schedule.bar[at];
        if (schedule.start[run] > view.to) break;
        if (schedule.job[run] !== chosen) continue;
        const left = Math.max(x(schedule.start[run]), place.left), right = Math.min(x(schedule.finish[run]), place.left + place.plot);
        outline(context, left, gpu * tall, Math.max(right - left, 3), Math.max(tall, 3), { stroke: colour("alarm") });
      }
    }
  }

  // The queue in the order of arrival, as wide as what each asks for.
  #drawStrip(time, chosen, schedule) {
    const { context, width, height } = surface(this.strip), at = schedule.at(time);
    const all = at < 0 ? 0 : schedule.queue(at);
    this.boxes = [];
    this.oldest = schedule.queueAt(time, Math.ceil(width / BOX) + 1);
    let x = 0;
    for (const job of this.oldest) {
      const wide = BOX + 4 * Math.min(Math.ceil(schedule.asked[job]), 16);
      if (x + wide > width - 70) break;
      context.fillStyle = bandColour(schedule, schedule.band[job]);
      context.fillRect(x, 0, wide - 2, height);
      const dark = numbers(bandColour(schedule, schedule.band[job])).reduce((sum, value) => sum + value, 0) < 384;
      write(context, amount(schedule.asked[job]), x + wide / 2 - 1, height / 2 + 1, { align: "center", fill: dark ? "#fff" : "#18212b" });
      if (job === chosen) outline(context, x, 0, wide - 2, height, { stroke: colour("alarm") });
      this.boxes.push([x, x + wide, job]);
      x += wide;
    }
    const rest = all - this.boxes.length;
    if (rest > 0) write(context, `+ ${count(rest)}`, x + 6, height / 2 + 1);
    if (!all) write(context, "nobody waits", 0, height / 2 + 1);
    this.strip.setAttribute("aria-label", `${count(all)} jobs wait`);
  }

  // The job and the time under a point of the chart; job -1: none.
  under(px, py, view) {
    const place = this.layout(this.canvas.clientWidth, this.canvas.clientHeight), { schedule } = this;
    const time = view.from + ((px - place.left) / place.plot) * (view.to - view.from);
    const inside = px >= place.left && py < place.tall;
    const run = inside ? schedule.runOn(Math.min(Math.floor((py / place.tall) * schedule.gpus), schedule.gpus - 1), time) : -1;
    return { time, job: run < 0 ? -1 : schedule.job[run] };
  }

  boxUnder(px) {
    const found = (this.boxes || []).find(([from, to]) => px >= from && px < to);
    return found ? found[2] : -1;
  }

  // What is known of a job, in lines.
  describe(job) {
    const { schedule } = this, started = Number.isFinite(schedule.first[job]), ended = Number.isFinite(schedule.last[job]);
    return [
      `job ${schedule.number[job]}: ${amount(schedule.asked[job])} GPUs, priority ${amount(schedule.priority[job])}`,
      `arrives ${clock(schedule.arrival[job] - schedule.begin)}, runs ${duration(schedule.runtime[job])}`,
      started ? `waits ${duration(schedule.first[job] - schedule.arrival[job])}` : "never starts",
      ended ? `completed after ${duration(schedule.last[job] - schedule.arrival[job])}` : "not completed by the end",
    ].join("\n");
  }
}

// [r, g, b] of "#rrggbb" or "rgb(r,g,b)".
function numbers(text) {
  if (text.startsWith("#")) return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  return text.match(/\d+/g).map(Number);
}

// The least round number of seconds that is at least `least`.
function niceStep(least) {
  const steps = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400];
  const found = steps.find((step) => step >= least);
  if (found) return found;
  const days = least / 86400, power = 10 ** Math.floor(Math.log10(days));
  return 86400 * power * [1, 2, 5, 10].find((factor) => factor * power >= days);
}
