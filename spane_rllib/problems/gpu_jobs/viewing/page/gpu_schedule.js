// A recorded schedule in typed arrays: what ran where, and what was true at every instant.

const BANDS = 5; // classes of priority at most

export class GpuSchedule {
  constructor({ policy, workload, end, types, jobs, runs, unfinished }) {
    Object.assign(this, { policy, workload, end, types });
    this.begin = jobs.arrival[0];
    this.number = Float64Array.from(jobs.number);
    this.arrival = Float64Array.from(jobs.arrival);
    this.runtime = Float64Array.from(jobs.runtime);
    this.asked = Float64Array.from(jobs.gpus);
    this.priority = Float64Array.from(jobs.priority);
    this.job = Int32Array.from(runs.job);
    this.start = Float64Array.from(runs.start);
    this.finish = Float64Array.from(runs.finish);
    this.count = this.arrival.length;
    this.gpus = types.reduce((sum, [, number]) => sum + number, 0);
    this.#rankPriorities();
    this.#findRunsOfJobs(unfinished);
    this.#putIntoLanes(runs.gpus);
    this.#passTime();
  }

  // Bands of priority: one for each value, or where there are more, equally many values in each.
  #rankPriorities() {
    this.priorities = [...new Set(this.priority)].sort((a, b) => a - b);
    this.bands = Math.min(this.priorities.length, BANDS);
    const band = new Map(this.priorities.map((value, rank) => [value, Math.floor((rank * this.bands) / this.priorities.length)]));
    this.band = Uint8Array.from(this.priority, (value) => band.get(value));
  }

  #findRunsOfJobs(unfinished) {
    this.first = new Float64Array(this.count).fill(Infinity); // start
    this.last = new Float64Array(this.count).fill(Infinity); // end, if it came to that
    const latest = new Int32Array(this.count).fill(-1);
    this.breaks = []; // jobs that were interrupted: [job, from, to]
    for (let run = 0; run < this.job.length; run++) {
      const job = this.job[run];
      if (latest[job] < 0) this.first[job] = this.start[run];
      else this.breaks.push([job, this.finish[latest[job]], this.start[run]]);
      latest[job] = run;
    }
    const begun = new Set(unfinished);
    this.ends = new Uint8Array(this.job.length); // of a run: 1 completes the job, 2 interrupts it, 0 was cut off by the end
    for (let run = 0; run < this.job.length; run++) {
      const job = this.job[run];
      if (latest[job] !== run) this.ends[run] = 2;
      else if (!begun.has(job)) { this.ends[run] = 1; this.last[job] = this.finish[run]; }
      else if (this.finish[run] < this.end) { this.ends[run] = 2; this.breaks.push([job, this.finish[run], Infinity]); }
    }
  }

  // Runs of each GPU in the order of their starts, one GPU after the other.
  #putIntoLanes(gpus) {
    const held = Float64Array.from(this.job, (job) => Math.ceil(this.asked[job]));
    this.lane = new Int32Array(this.gpus + 1);
    for (const gpu of gpus) this.lane[gpu + 1]++;
    for (let gpu = 0; gpu < this.gpus; gpu++) this.lane[gpu + 1] += this.lane[gpu];
    const next = this.lane.slice();
    this.bar = new Int32Array(gpus.length);
    for (let run = 0, at = 0; run < held.length; run++) for (let k = 0; k < held[run]; k++) this.bar[next[gpus[at++]]++] = run;
    // The latest end so far, so that a search finds the first run that is visible; shares of a GPU overlap.
    this.reach = new Float64Array(gpus.length);
    for (let gpu = 0; gpu < this.gpus; gpu++) {
      let latest = -Infinity;
      for (let at = this.lane[gpu]; at < this.lane[gpu + 1]; at++) this.reach[at] = latest = Math.max(latest, this.finish[this.bar[at]]);
    }
  }

  // Every instant at which something happens, and what is true from then on.
  #passTime() {
    const { arrival, start, finish, job, ends, bands, asked } = this;
    const ending = Uint32Array.from(job, (_, run) => run).filter((run) => ends[run]).sort((a, b) => finish[a] - finish[b]);
    const most = arrival.length + start.length + ending.length;
    this.time = new Float64Array(most);
    this.waiting = new Int32Array(most * bands);
    this.busy = new Float64Array(most);
    this.running = new Int32Array(most);
    this.completed = new Int32Array(most);
    this.totalJct = new Float64Array(most);
    const now = new Int32Array(bands);
    let a = 0, s = 0, e = 0, busy = 0, running = 0, completed = 0, total = 0, size = 0;
    while (a < arrival.length || s < start.length || e < ending.length) {
      const at = Math.min(a < arrival.length ? arrival[a] : Infinity, s < start.length ? start[s] : Infinity, e < ending.length ? finish[ending[e]] : Infinity);
      for (; a < arrival.length && arrival[a] <= at; a++) now[this.band[a]]++;
      for (; s < start.length && start[s] <= at; s++) {
        busy += asked[job[s]];
        running++;
        now[this.band[job[s]]]--;
      }
      for (; e < ending.length && finish[ending[e]] <= at; e++) {
        const run = ending[e], which = job[run];
        busy -= asked[which];
        running--;
        if (ends[run] === 1) { completed++; total += finish[run] - arrival[which]; } else now[this.band[which]]++;
      }
      this.time[size] = at;
      this.waiting.set(now, size * bands);
      this.busy[size] = Math.abs(busy) < 1e-9 ? 0 : busy;
      this.running[size] = running;
      this.completed[size] = completed;
      this.totalJct[size++] = total;
    }
    for (const name of ["time", "busy", "running", "completed", "totalJct"]) this[name] = this[name].slice(0, size);
    this.waiting = this.waiting.slice(0, size * bands);
    this.longest = 0;
    for (let at = 0; at < size; at++) this.longest = Math.max(this.longest, this.queue(at));
  }

  // Jobs that wait after instant number `at`.
  queue(at) {
    let sum = 0;
    for (let band = 0; band < this.bands; band++) sum += this.waiting[at * this.bands + band];
    return sum;
  }

  // The number of the last instant up to `time`; -1 before the first.
  at(time) { return after(this.time, time) - 1; }

  // Jobs that wait at `time`, in the order of arrival, at most `most`.
  queueAt(time, most) {
    const stopped = new Set();
    for (const [job, from, to] of this.breaks) if (from <= time && time < to) stopped.add(job);
    const jobs = [];
    for (let job = 0; job < this.count && this.arrival[job] <= time && jobs.length < most; job++) {
      if (this.first[job] > time || stopped.has(job)) jobs.push(job);
    }
    return jobs;
  }

  // The run on a GPU at `time`; -1 if there is none.
  runOn(gpu, time) {
    for (let at = firstReaching(this.reach, time, this.lane[gpu], this.lane[gpu + 1]); at < this.lane[gpu + 1]; at++) {
      const run = this.bar[at];
      if (this.start[run] > time) break;
      if (this.finish[run] > time) return run;
    }
    return -1;
  }

  // Where a job that arrives after `time` does not start at once; null if none does.
  nextWait(time) {
    for (let job = after(this.arrival, time); job < this.count; job++) if (this.first[job] > this.arrival[job] + 1) return this.arrival[job];
    return null;
  }
}

// How many of the ascending values are at most `value`.
export function after(values, value) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The first place from `low` to `high` whose value is larger than `value`.
export function firstReaching(values, value, low, high) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Ascending values of both, each once.
export function union(one, other) {
  const all = new Float64Array(one.length + other.length);
  let size = 0;
  for (let a = 0, b = 0; a < one.length || b < other.length;) {
    const value = b >= other.length || one[a] <= other[b] ? one[a++] : other[b++];
    if (!size || all[size - 1] < value) all[size++] = value;
  }
  return all.slice(0, size);
}

// When the first job starts at another time in one than in the other; null: never.
export function firstDifference(one, other) {
  let first = Infinity;
  for (let job = 0; job < Math.min(one.count, other.count); job++) {
    if (one.first[job] !== other.first[job]) first = Math.min(first, one.first[job], other.first[job]);
  }
  return Number.isFinite(first) ? first : null;
}
