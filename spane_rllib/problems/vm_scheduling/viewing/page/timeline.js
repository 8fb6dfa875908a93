// What the player moves along: events of one episode, or decisions of two on the same arrivals.

export class Timeline {
  constructor(episodes) {
    this.episodes = episodes;
    this.pair = episodes.length === 2;
    this.unit = this.pair ? "Decision" : "Event";
    this.waiting = episodes[0].waiting;
    this.length = Math.max(...episodes.map((episode) => (this.pair ? episode.afterDecision.length - 1 : episode.length)));
    // What the ticks and the diamonds of the bar stand for: waits and catastrophes, or expansions and the VM that fits nowhere.
    this.ticks = this.#steps((episode) => (this.waiting ? episode.waits : episode.expansions));
    this.alarms = this.#steps((episode) => (this.waiting ? episode.catastrophes : episode.refused ? [episode.length] : []));
    this.difference = this.pair ? this.#firstDifference() : null;
  }

  #steps(positionsOf) {
    const step = (episode, p) => (this.pair ? episode.decisions[p] + (episode.refused && p === episode.length) : p);
    return this.episodes.map((episode) => positionsOf(episode).map((p) => step(episode, p)));
  }

  #firstDifference() {
    const [a, b] = this.episodes;
    const decisions = Math.min(a.afterDecision.length, b.afterDecision.length) - 1;
    const slot = (episode, vm) => (episode.vms.double[vm] ? episode.vms.slot[vm] & ~1 : episode.vms.slot[vm]);
    const decided = (episode, k) => episode.events.vm[episode.afterDecision[k + 1] - 1];
    for (let k = 0; k < decisions; k++) {
      const [one, other] = [decided(a, k), decided(b, k)];
      if (one !== other || slot(a, one) !== slot(b, other)) return k + 1;
    }
    return a.afterDecision.length === b.afterDecision.length ? null : decisions + 1;
  }

  // The position of each episode at a step; the shorter one holds its last.
  positions(step) {
    if (!this.pair) return [step];
    return this.episodes.map((episode) => episode.afterDecision[Math.min(step, episode.afterDecision.length - 1)]);
  }

  // The nearest step after (direction 1) or before (-1) `step` in lists like `ticks`; null if there is none.
  next(lists, step, direction = 1) {
    const ahead = lists.flat().filter((other) => direction * (other - step) > 0);
    return ahead.length ? ahead.reduce((best, other) => (direction * (other - best) < 0 ? other : best)) : null;
  }
}
