// A recorded plan: where the VMs are after every migration.

export class PlanEpisode {
  constructor(recording) {
    Object.assign(this, recording);
    this.length = this.moves.length;
    this.steps = [this.placement];
    this.from = [null];
    for (const [vm, host, node] of this.moves) {
      const before = this.steps[this.steps.length - 1], after = [...before];
      after[vm] = [host, node];
      this.from.push(before[vm]);
      this.steps.push(after);
    }
  }

  at(step) { return Math.min(step, this.length); }

  // "vm_7: pm_1 NUMA 0 to pm_4 NUMA 1", of the migration that led to a step.
  told(step) {
    if (step === 0) return "before the first migration";
    if (step > this.length) return "no further migration";
    const [vm, host, node] = this.moves[step - 1], [oldHost, oldNode] = this.from[step];
    const place = (at, on) => `${this.hosts[at]} ${on === 2 ? "both nodes" : `NUMA ${on}`}`;
    return `${this.vm_names[vm]} (${this.cores[vm]}${node === 2 ? " + " + this.cores[vm] : ""} cores): ${place(oldHost, oldNode)} to ${place(host, node)}`;
  }
}
