// Everything about one episode: cards, servers and the VMs of the chosen server.

import { Bars } from "./bars.js";
import { amount, count, duration, percent, plural, seconds } from "../../../../viewer/page/format.js";
import { Heatmap } from "./heatmap.js";
import { colour, line, outline, surface } from "../../../../viewer/page/surface.js";
import { drawTrend, WINDOW } from "./trend.js";

const MOST_BARS = 50;
const MOST_WAITING = 12;
const LEVELS = [[0.5, "low"], [0.8, "busy"], [Infinity, "full"]];

export class Side {
  constructor(episode, index, onChoose) {
    this.episode = episode;
    this.chosen = null;
    this.root = document.getElementById("side").content.firstElementChild.cloneNode(true);
    for (const card of this.root.querySelectorAll(`[data-only=${episode.waiting ? "scenario" : "waiting"}]`)) card.remove();
    this.fields = Object.fromEntries([...this.root.querySelectorAll("[data-field]")].map((element) => [element.dataset.field, element]));
    const name = this.$(".name");
    name.dataset.letter = "AB"[index];
    name.style.setProperty("--mark", `var(--${index ? "memory" : "cpu"})`);
    name.append(episode.policy);
    this.$(".window").textContent = `last ${WINDOW} events`;
    const canvas = this.$(".stage canvas");
    this.view = new (episode.serverCount > MOST_BARS ? Heatmap : Bars)(canvas, episode);
    this.$(".servers .legend").append(...this.view.legend.map(([kind, text]) => Object.assign(document.createElement("li"), { className: kind, textContent: text })));
    const nodes = episode.servers.nodes.some((count) => count < 2) ? "1 or 2" : "2";
    this.$(".servers h3").textContent = `${plural(episode.serverCount, "server")}, ${nodes} NUMA nodes each`;
    this.#listen(canvas, onChoose);
  }

  $(selector) { return this.root.querySelector(selector); }

  #listen(canvas, onChoose) {
    const tooltip = document.getElementById("tooltip");
    const at = (event) => this.view.serverAt(event.offsetX, event.offsetY);
    canvas.addEventListener("click", (event) => onChoose(at(event)));
    canvas.addEventListener("pointermove", (event) => {
      const server = at(event);
      tooltip.hidden = server === null;
      if (server === null) return;
      tooltip.textContent = `server ${server}\n${this.#nodes(server)}`;
      tooltip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tooltip.offsetWidth - 8)}px`;
      tooltip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tooltip.offsetHeight - 8)}px`;
    });
    canvas.addEventListener("pointerleave", () => { tooltip.hidden = true; });
    this.$(".close").addEventListener("click", () => onChoose(null));
  }

  draw(p) {
    this.position = p;
    this.#gauges(p);
    this.#numbers(p);
    this.#requests(p);
    drawTrend(this.$(".trend canvas"), this.episode, p);
    this.$(".trend canvas").setAttribute("aria-label", `CPU ${percent(this.episode.cpu[p])}, memory ${percent(this.episode.memory[p])} in use`);
    this.view.draw(p, this.chosen);
    this.$(".stage canvas").setAttribute("aria-label", this.#describeServers(p));
    this.#detail(p);
    if (this.episode.waiting) this.#queue(p);
  }

  #gauges(p) {
    for (const card of this.root.querySelectorAll(".gauge")) {
      const resource = card.dataset.resource, share = this.episode[resource][p], capacity = this.episode.capacity[resource][p];
      const [, level] = LEVELS.find(([limit]) => share < limit);
      const word = level === "full" ? "nearly full" : level;
      card.style.setProperty("--level", `var(--${level})`);
      card.querySelector(".value").style.strokeDasharray = `${100 * share} 200`;
      card.querySelector(".big").textContent = percent(share);
      card.querySelector(".level").textContent = word;
      card.querySelector(".amount").textContent = `${amount(share * capacity)} / ${amount(capacity)} ${resource === "cpu" ? "cores" : "GiB"}`;
      card.querySelector("svg").setAttribute("aria-label", `${resource} ${percent(share)}, ${word}`);
    }
  }

  #numbers(p) {
    const { episode, fields } = this;
    const decisions = episode.decisions[p], delayed = episode.delayed[p];
    if (!episode.waiting) {
      this.#fill({
        score: count(decisions),
        "running-now": count(episode.running[p]),
        departed: count(decisions - episode.running[p]),
        servers: count(episode.active[p]),
        added: count(episode.active[p] - episode.active[0]),
        "server-hours": amount(Math.round(10 * episode.serverHours[p]) / 10),
      });
      return;
    }
    this.#fill({
      queue: count(episode.queue[p]),
      "queue-unit": episode.queue[p] === 1 ? "VM waits" : "VMs wait",
      "head-wait": seconds(episode.headWait[p]),
      placed: `${count(decisions)} / ${count(episode.vmCount)}`,
      running: plural(episode.running[p], "VM"),
      "total-wait": seconds(episode.totalWait[p]),
      delayed: plural(delayed, "VM"),
      longest: seconds(episode.longest[p]),
      mean: decisions ? `${amount(episode.totalWait[p] / decisions)} s` : "0 s",
    });
    fields.catastrophe.classList.toggle("on", episode.catastrophes.some((at) => at <= p));
  }

  #fill(texts) {
    for (const [name, text] of Object.entries(texts)) this.fields[name].textContent = text;
  }

  #requests(p) {
    const { episode } = this;
    const event = episode.event(p), head = episode.head[p] < episode.vmCount ? episode.head[p] : null;
    const wait = event && !event.departure && !event.refused ? episode.wait(event.vm) : 0;
    const passed = event && !event.departure && !event.refused ? episode.passed(p) : 0;
    const title = !event ? "Empty cluster" : event.departure ? "Departed" : event.refused ? "No room" : "Placed";
    this.#request("last", event?.vm ?? null, title, {
      where: event ? episode.place(event.vm) : "before the first event",
      wait: passed ? `after ${seconds(wait)}, past ${plural(passed, "VM")}` : wait > 0 ? `after ${seconds(wait)}` : event?.refused ? `(${amount((1 - episode.cpu[p]) * episode.capacity.cpu[p])} cores are free)` : "",
      departed: event?.departure,
    });
    if (!episode.waiting && p === episode.length) {
      this.#request("head", null, "The episode ends", { where: episode.refused ? "" : "at its cap or the end of the trace", wait: "" });
      return;
    }
    const ended = head !== null && episode.vms.slot[head] < 0 && p === episode.length;
    const toCome = head !== null && episode.vms.arrival[head] >= episode.time(p);
    this.#request("head", head, head === null ? "All VMs are placed" : toCome ? "Next" : "Waiting", {
      where: head === null ? "" : toCome ? `arrives in ${duration(episode.vms.arrival[head] - episode.time(p))}` : `for ${seconds(episode.headWait[p])}`,
      wait: ended ? "fits nowhere: the episode ends" : "",
    });
  }

  #request(name, vm, title, { where, wait, departed = false }) {
    const { vms } = this.episode;
    const box = this.$(`[data-request=${name}]`);
    const size = vm === null ? "" : `${plural(vms.cpu[vm], "core")}, ${amount(vms.memory[vm])} GiB${vms.double[vm] ? ", both nodes" : ""}`;
    box.querySelector("h3").textContent = vm === null ? title : `${title}: VM ${vms.number[vm]}`;
    box.querySelector(".size").textContent = size;
    box.querySelector(".where").textContent = where;
    box.querySelector(".wait").textContent = wait;
    const canvas = box.querySelector("canvas");
    canvas.setAttribute("aria-label", size || title);
    this.#splitGlyph(canvas, vm, departed, name === "last" && vms.slot[vm] >= 0);
  }

  // CPU and memory of a VM as shares of a node: node 0 up, node 1 down; to either node while it is not placed.
  #splitGlyph(canvas, vm, departed, placed) {
    const { context, width, height } = surface(canvas);
    const middle = height / 2, half = middle - 3, bar = width * 0.34;
    line(context, 0, Math.round(middle) + 0.5, width, Math.round(middle) + 0.5, colour("faint"));
    if (vm === null) return;
    const { largest, vms } = this.episode;
    const sizeOn = (node, resource) => {
      if (vms.double[vm]) return vms[resource][vm] / 2;
      return node === (placed ? vms.slot[vm] & 1 : 0) ? vms[resource][vm] : 0;
    };
    ["cpu", "memory"].forEach((resource, i) => {
      const x = i ? width / 2 + 2 : width / 2 - 2 - bar;
      for (const node of [0, 1]) {
        const size = sizeOn(node, resource);
        const tall = Math.max((size / largest[resource]) * half, size ? 2 : 0);
        if (!tall) continue;
        const y = node ? middle + 1 : middle - tall;
        context.fillStyle = colour(departed ? `${resource}Soft` : resource);
        context.fillRect(x, y, bar, tall);
        if (departed) outline(context, x, y, bar, tall, { dashed: true });
      }
    });
  }

  #nodes(server) {
    const { episode, position } = this;
    const { servers } = episode;
    if (!episode.isActive(server, position)) return "not active yet";
    const vms = episode.residents(server, position);
    return [0, 1].slice(0, servers.nodes[server]).map((node) => {
      const used = (resource) => vms.reduce((sum, vm) => sum + episode.share(vm, node)[resource], 0);
      const part = (resource, unit) => {
        const [load, capacity] = [used(resource), servers[`node_${resource}`][server]];
        return `${amount(load)} / ${amount(capacity)} ${unit} (${percent(load / capacity)})`;
      };
      return `node ${node}: ${part("cpu", "cores")}, ${part("memory", "GiB")}`;
    }).join("\n");
  }

  #describeServers(p) {
    const event = this.episode.event(p);
    const last = event ? `; last event: VM ${this.episode.vms.number[event.vm]} ${event.departure ? "departed from " : event.refused ? "" : "placed on "}${this.episode.place(event.vm)}` : "";
    return `Load of ${plural(this.episode.serverCount, "server")}${last}`;
  }

  #queue(p) {
    const { episode } = this, now = episode.time(p), { vms } = episode;
    this.$(".line h3").textContent = episode.discipline === "fifo" ? "Queue" : `Queue: ${episode.discipline}`;
    const shown = episode.inQueue(p, MOST_WAITING);
    this.$(".line tbody").replaceChildren(...shown.map(({ vm, passedBy }) => {
      const row = document.createElement("tr");
      const cells = [vms.number[vm], amount(vms.cpu[vm]), amount(vms.memory[vm]), duration(now - vms.arrival[vm]), passedBy];
      row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      return row;
    }));
    const more = episode.queue[p] - shown.length;
    this.$(".line small").textContent = more > 0 ? `and ${count(more)} more` : shown.length ? "" : "nobody waits";
  }

  #detail(p) {
    const { episode } = this;
    const event = episode.event(p), now = episode.time(p);
    const chosen = this.chosen !== null && this.chosen < episode.serverCount;
    const server = chosen ? this.chosen : event?.server ?? 0;
    const vms = episode.residents(server, p);
    this.$(".detail").classList.toggle("open", chosen);
    this.$(".detail .title").textContent = `Server ${server}: ${plural(vms.length, "VM")}`;
    const follows = typeof event?.server === "number" ? "of the last event; click one to keep it" : "click one to keep it";
    this.$(".follows").textContent = chosen ? "chosen; Esc follows the last event" : follows;
    this.$(".nodes").textContent = this.#nodes(server);
    this.$("tbody").replaceChildren(...vms.reverse().map((vm) => {
      const row = document.createElement("tr");
      const since = episode.time(episode.placedAt[vm]);
      const cells = [
        episode.vms.number[vm], episode.vms.double[vm] ? "0+1" : episode.vms.slot[vm] & 1, amount(episode.vms.cpu[vm]),
        amount(episode.vms.memory[vm]), duration(now - since), duration(since + episode.vms.lifetime[vm] - now),
      ];
      row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
      row.classList.toggle("changed", event?.vm === vm);
      return row;
    }));
  }
}
