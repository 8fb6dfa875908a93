// A recorded episode: where the pods are in every window, and what has come of it so far.

export class PodEpisode {
  constructor(recording) {
    Object.assign(this, recording);
    this.length = this.windows.length;
    this.placements = [];
    this.sums = [];
    const placement = [...this.placement];
    const sum = { violations: 0, moves: 0, unsatisfied: 0 };
    for (const window of this.windows) {
      window.from = window.moves.map(([pod]) => placement[pod]);
      for (const [pod, node] of window.moves) placement[pod] = node;
      sum.violations += window.violations;
      sum.moves += window.moves.length;
      sum.unsatisfied += window.unsatisfied;
      this.placements.push([...placement]);
      this.sums.push({ ...sum });
    }
  }

  // Windows that are at least `from`, and of which `wanted` holds; null where there is none.
  next(from, wanted) {
    const at = this.windows.findIndex((window, index) => index >= from && wanted(window));
    return at < 0 ? null : at;
  }
}
