// One recorded episode. Position p is the state after the first p events; 0 is the empty cluster. In a scenario nobody
// waits, and the VM that fits nowhere is one more event, the last.
// What a position shows is read off columns made once at load, or off one pass over the VMs (`loads`, `residents`).

export const CATASTROPHE = 300000; // seconds of total wait

export class Episode {
  constructor(recording) {
    Object.assign(this, { policy: recording.policy, trace: recording.trace, start: recording.start, source: recording.source, scenario: recording.scenario, discipline: recording.queue });
    this.vms = recording.vms;
    this.vms.lifetime = this.vms.lifetime.map((value) => value ?? Infinity);
    this.events = recording.events;
    this.servers = recording.servers;
    this.serverCount = this.servers.node_cpu.length;
    this.vmCount = this.vms.number.length;
    this.waiting = !this.scenario;
    this.begin = this.vms.arrival[0];
    this.largest = { cpu: Math.max(...this.servers.node_cpu), memory: Math.max(...this.servers.node_memory) };
    this.#refuseLast();
    this.length = this.events.time.length;
    this.#deriveColumns();
    this.#listResidents();
  }

  #refuseLast() {
    const { events, vms } = this, last = this.vmCount - 1;
    this.refused = !this.waiting && vms.slot[last] < 0;
    if (!this.refused) return;
    events.time.push(vms.arrival[last]);
    events.vm.push(last);
    events.departure.push(false);
  }

  #deriveColumns() {
    const { events, vms, length } = this;
    const columns = ["cpu", "memory", "queue", "head", "placedUpTo", "headWait", "totalWait", "decisions", "delayed", "longest", "running", "active", "serverHours"];
    for (const name of columns) this[name] = new Float64Array(length + 1);
    this.capacity = { cpu: new Float64Array(length + 1), memory: new Float64Array(length + 1) };
    this.placedAt = new Int32Array(this.vmCount).fill(length + 1); // position after the placement
    this.departsAt = new Int32Array(this.vmCount).fill(length + 1);
    this.afterDecision = [0]; // position after the k-th placement
    this.waits = []; // positions whose event places a VM that waited
    this.catastrophes = [];
    this.expansions = []; // positions at which servers have been added
    const activation = [...this.servers.active_from.keys()].sort((a, b) => this.servers.active_from[a] - this.servers.active_from[b]);
    let active = 0, capacityCpu = 0, capacityMemory = 0, usedCpu = 0, usedMemory = 0, arrived = 0, waiting = 0, head = 0, activeSince = 0;
    for (let p = 0; p <= length; p++) {
      const time = this.time(p);
      for (; active < activation.length && this.servers.active_from[activation[active]] <= time; active++) {
        capacityCpu += this.servers.nodes[activation[active]] * this.servers.node_cpu[activation[active]];
        capacityMemory += this.servers.nodes[activation[active]] * this.servers.node_memory[activation[active]];
        activeSince += this.servers.active_from[activation[active]];
      }
      this.active[p] = active;
      this.capacity.cpu[p] = capacityCpu;
      this.capacity.memory[p] = capacityMemory;
      this.serverHours[p] = (active * time - activeSince) / 3600;
      if (p === 0) continue;
      if (active > this.active[p - 1]) this.expansions.push(p);
      const vm = events.vm[p - 1], departs = events.departure[p - 1], refused = vms.slot[vm] < 0;
      const sign = departs ? -1 : refused ? 0 : 1;
      usedCpu += sign * vms.cpu[vm];
      usedMemory += sign * vms.memory[vm];
      this.cpu[p] = usedCpu / capacityCpu;
      this.memory[p] = usedMemory / capacityMemory;
      this.running[p] = this.running[p - 1] + sign;
      for (const name of ["totalWait", "decisions", "delayed", "longest", "placedUpTo"]) this[name][p] = this[name][p - 1];
      if (departs) {
        this.departsAt[vm] = p;
      } else if (refused) {
        this.afterDecision.push(p);
      } else {
        const wait = time - vms.arrival[vm];
        this.placedAt[vm] = p;
        this.decisions[p] = this.afterDecision.push(p) - 1;
        this.placedUpTo[p] = Math.max(this.placedUpTo[p], vm + 1);
        if (vm < arrived) waiting--;
        if (wait > 0) {
          this.waits.push(p);
          this.totalWait[p] += wait;
          this.delayed[p] += 1;
          this.longest[p] = Math.max(this.longest[p], wait);
          if (this.totalWait[p] > CATASTROPHE && this.totalWait[p - 1] <= CATASTROPHE) this.catastrophes.push(p);
        }
      }
      for (; arrived < this.vmCount && vms.arrival[arrived] < time; arrived++) if (this.placedAt[arrived] > p) waiting++;
      this.queue[p] = waiting;
      while (head < this.vmCount && this.placedAt[head] <= p) head++; // VMs may pass it
      this.head[p] = head;
      this.headWait[p] = waiting > 0 ? time - vms.arrival[head] : 0;
    }
  }

  #listResidents() {
    this.onServer = Array.from({ length: this.serverCount }, () => []);
    this.vms.slot.forEach((slot, vm) => slot >= 0 && this.onServer[slot >> 1].push(vm));
  }

  time(p) { return p === 0 ? this.begin : this.events.time[p - 1]; }
  runs(vm, p) { return this.placedAt[vm] <= p && p < this.departsAt[vm]; }
  wait(vm) { return this.events.time[this.placedAt[vm] - 1] - this.vms.arrival[vm]; }
  // The VMs that wait at p in order of arrival, at most so many, each with how many later ones have been placed before it.
  inQueue(p, most = Infinity) {
    const found = [];
    for (let vm = this.head[p]; vm < this.vmCount && this.vms.arrival[vm] < this.time(p) && found.length < most; vm++) {
      if (this.placedAt[vm] > p) found.push({ vm, passedBy: this.decisions[p] - (vm - found.length) });
    }
    return found;
  }

  // How many VMs that wait on, the one that was placed at p has passed.
  passed(p) {
    const vm = this.events.vm[p - 1];
    let count = 0;
    for (let other = this.head[p]; other < vm; other++) count += this.placedAt[other] > p;
    return count;
  }

  residents(server, p) { return this.onServer[server].filter((vm) => this.runs(vm, p)); }
  isActive(server, p) { return this.servers.active_from[server] <= this.time(p); }

  // The event that led to position p, or null at the beginning.
  event(p) {
    if (p === 0) return null;
    const vm = this.events.vm[p - 1];
    const slot = this.vms.slot[vm], refused = slot < 0;
    return { vm, departure: Boolean(this.events.departure[p - 1]), refused, server: refused ? null : slot >> 1 };
  }

  // Cores and GiB that a VM takes of node 0 and node 1 of its server.
  share(vm, node) {
    const { cpu, memory, double, slot } = this.vms;
    if (double[vm]) return { cpu: cpu[vm] / 2, memory: memory[vm] / 2 };
    return (slot[vm] & 1) === node ? { cpu: cpu[vm], memory: memory[vm] } : { cpu: 0, memory: 0 };
  }

  // Used cores and GiB of every node: [slot] in two arrays.
  loads(p) {
    const cpu = new Float64Array(2 * this.serverCount), memory = new Float64Array(2 * this.serverCount);
    for (let vm = 0; vm < this.placedUpTo[p]; vm++) {
      if (!this.runs(vm, p)) continue;
      const first = this.vms.slot[vm] & ~1;
      for (const node of [0, 1]) {
        const share = this.share(vm, node);
        cpu[first + node] += share.cpu;
        memory[first + node] += share.memory;
      }
    }
    return { cpu, memory };
  }

  place(vm) {
    const slot = this.vms.slot[vm];
    if (slot < 0) return "fits nowhere";
    return `server ${slot >> 1}, ${this.vms.double[vm] ? "both nodes" : `node ${slot & 1}`}`;
  }
}
