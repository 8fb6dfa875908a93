// Up to 50 servers: node 0 above the middle line, node 1 below, CPU beside memory, one block per VM.

import { colour, line, outline, surface, write } from "../../../../viewer/page/surface.js";

const LEFT = 44, BOTTOM = 18, TOP = 4;
const RESOURCES = ["cpu", "memory"];

export class Bars {
  constructor(canvas, episode) {
    this.canvas = canvas;
    this.episode = episode;
    this.legend = [["cpu", "CPU"], ["memory", "memory"], ["placed", "placed now"], ["departed", "departed now"]];
  }

  draw(p, chosen) {
    const { episode } = this;
    const { context, width, height } = surface(this.canvas);
    const count = episode.serverCount;
    const half = (height - BOTTOM - TOP) / 2, middle = TOP + half, step = (width - LEFT) / count;
    this.layout = { step };
    for (const share of [1, 0.5, 0]) {
      for (const sign of share ? [-1, 1] : [1]) {
        const y = Math.round(middle + sign * share * (half - 2)) + 0.5;
        line(context, LEFT, y, width, y, share ? colour("line") : colour("faint"));
        if (half > 40 || share !== 0.5) write(context, share ? `${100 * share}%` : "0", LEFT - 6, y + (share === 1 ? -sign * 5 : 0), { align: "right" });
      }
    }
    if (half > 70) {
      for (const [label, y] of [["node 0", middle - half * 0.75], ["node 1", middle + half * 0.75]]) write(context, label, LEFT - 6, y, { align: "right", fill: colour("faint") });
    }
    const event = episode.event(p);
    const bar = Math.min(step * 0.38, 74), gap = Math.min(3, step * 0.06);
    const labelEvery = Math.ceil(26 / step);
    for (let server = 0; server < count; server++) {
      const centre = LEFT + (server + 0.5) * step;
      if (server === chosen) {
        context.fillStyle = colour("chosen");
        context.fillRect(LEFT + server * step + 1, TOP, step - 2, height - TOP);
        line(context, LEFT + server * step + 1, middle + 0.5, LEFT + (server + 1) * step - 1, middle + 0.5, colour("faint"));
      }
      const bold = event?.server === server;
      if (server % labelEvery === 0 || bold) write(context, step > 70 ? `server ${server}` : String(server), centre, height - 6, { align: "center", fill: bold ? colour("ink") : colour("soft") });
      const active = episode.isActive(server, p), vms = active ? episode.residents(server, p) : [];
      if (bold && event.departure) vms.push(event.vm); // as a ghost on top
      const nodes = episode.servers.nodes[server]; // a server of one has nothing below the line
      const framed = !active || nodes < 2 || RESOURCES.some((resource) => episode.servers[`node_${resource}`][server] < episode.largest[resource]);
      RESOURCES.forEach((resource, i) => {
        const x = Math.round(centre + (i ? gap / 2 : -gap / 2 - bar)), w = Math.max(1, Math.round(bar));
        const scale = (half - 2) / episode.largest[resource];
        const reach = episode.servers[`node_${resource}`][server] * scale;
        if (framed) outline(context, x, middle - reach, w, nodes * reach, { stroke: colour(active ? "faint" : "line"), dashed: !active, width: 1 });
        for (const node of [0, 1]) this.#stack(context, vms, { resource, node, x, w, scale, middle, event: bold ? event : null });
      });
    }
  }

  #stack(context, vms, { resource, node, x, w, scale, middle, event }) {
    let used = 0;
    for (const vm of vms) {
      const size = this.episode.share(vm, node)[resource];
      if (!size) continue;
      const from = used * scale, to = (used + size) * scale, tall = to - from;
      const y = node === 0 ? middle - to : middle + from;
      const changed = event?.vm === vm;
      context.fillStyle = colour(changed && event.departure ? `${resource}Soft` : resource);
      context.fillRect(x, y, w, tall > 2.5 ? tall - 1 : tall);
      if (changed) outline(context, x - 1, y - 0.5, w + 2, Math.max(tall, 4), { dashed: event.departure });
      used += size;
    }
  }

  serverAt(x) {
    const server = Math.floor((x - LEFT) / this.layout.step);
    return server >= 0 && server < this.episode.serverCount ? server : null;
  }
}
