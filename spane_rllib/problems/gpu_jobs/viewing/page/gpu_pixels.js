// Runs and queues as pixels: each column of a row is the mean of the time and of the GPUs behind it, so that the
// number of jobs does not matter for how long drawing takes, nor for what is seen.

import { firstReaching } from "./gpu_schedule.js";

// Colours [r, g, b] of bands and of the ground, and a view {from, to} in seconds.
export function ganttPixels(context, width, height, schedule, view, colours, ground) {
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const rows = Math.max(1, Math.min(schedule.gpus, Math.floor(height / 2)));
  const bands = schedule.bands, scale = width / (view.to - view.from);
  const covered = new Float32Array(width * bands), line = new Uint32Array(width);
  for (let row = 0; row < rows; row++) {
    const first = Math.ceil((row * schedule.gpus) / rows), stop = Math.ceil(((row + 1) * schedule.gpus) / rows);
    covered.fill(0);
    for (let gpu = first; gpu < stop; gpu++) cover(covered, schedule, gpu, view, scale, width);
    const empty = pack(ground);
    for (let x = 0; x < width; x++) {
      let red = 0, green = 0, blue = 0, sum = 0;
      for (let band = 0; band < bands; band++) {
        const share = covered[x * bands + band] / (stop - first);
        if (!share) continue;
        const [r, g, b] = colours[band];
        red += share * r; green += share * g; blue += share * b; sum += share;
      }
      if (sum > 1) { red /= sum; green /= sum; blue /= sum; sum = 1; }
      line[x] = sum ? pack([red + (1 - sum) * ground[0], green + (1 - sum) * ground[1], blue + (1 - sum) * ground[2]]) : empty;
    }
    const top = Math.floor((row * height) / rows), bottom = Math.floor(((row + 1) * height) / rows);
    const gap = bottom - top >= 4 ? 1 : 0;
    for (let y = top; y < bottom - gap; y++) pixels.set(line, y * width);
    if (gap) pixels.fill(empty, (bottom - 1) * width, bottom * width);
  }
  return image;
}

// Adds the share of each column in which a GPU is held, by band.
function cover(covered, schedule, gpu, view, scale, width) {
  const { lane, bar, start, finish, job, band, asked, reach, bands } = schedule;
  for (let at = firstReaching(reach, view.from, lane[gpu], lane[gpu + 1]); at < lane[gpu + 1]; at++) {
    const run = bar[at];
    if (start[run] >= view.to) break;
    const of = band[job[run]], share = Math.min(asked[job[run]], 1);
    let from = Math.max((start[run] - view.from) * scale, 0), to = Math.min((finish[run] - view.from) * scale, width);
    if (to - from > 4) to -= 1; // so that neighbours can be told apart
    let x = Math.floor(from);
    const last = Math.min(Math.floor(to), width - 1);
    if (x >= last) { if (x < width && to > from) covered[x * bands + of] += share * (to - from); continue; }
    covered[x * bands + of] += share * (x + 1 - from);
    for (x++; x < last; x++) covered[x * bands + of] += share;
    covered[last * bands + of] += share * Math.min(to - last, 1);
  }
}

// Waiting jobs over time, the bands on top of each other: of each column the moment of most.
export function queuePixels(context, width, height, schedule, view, most, colours, ground) {
  const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
  const { bands, waiting, time } = schedule, empty = pack(ground), packed = colours.map(pack);
  pixels.fill(empty);
  let at = Math.max(schedule.at(view.from), 0);
  for (let x = 0; x < width; x++) {
    const to = view.from + ((x + 1) / width) * (view.to - view.from);
    let fullest = at, sum = schedule.queue(at);
    while (at + 1 < time.length && time[at + 1] < to) {
      const now = schedule.queue(++at);
      if (now > sum) [fullest, sum] = [at, now];
    }
    if (time[0] >= to || !sum) continue;
    let y = height, below = 0;
    for (let band = bands - 1; band >= 0; band--) { // the urgent ones at the bottom
      below += waiting[fullest * bands + band];
      const top = Math.min(Math.round(height - (below / most) * height), band === 0 ? height - 1 : height);
      for (; y > top && y > 0;) pixels[--y * width + x] = packed[band];
    }
  }
  return image;
}

const pack = ([r, g, b]) => ((255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
