// Above 50 servers: a cell each, its upper half node 0 and its lower half node 1, as full as CPU or memory is.

import { colour, heat, outline, surface, write } from "../../../../viewer/page/surface.js";

// About as many columns as wished for, with few cells left over in the last row.
function fullestGrid(count, wished) {
  const spare = (columns) => Math.ceil(count / columns) * columns - count;
  const score = (columns) => spare(columns) / columns + 2 * Math.abs(Math.log(columns / wished));
  let best = 1;
  for (let columns = 1; columns <= count && columns < 2 * wished + 2; columns++) if (score(columns) < score(best)) best = columns;
  return best;
}

export class Heatmap {
  constructor(canvas, episode) {
    this.canvas = canvas;
    this.episode = episode;
    this.legend = [["heat", "0 to 100% in use"], ["placed", "placed now"], ["departed", "departed now"]];
  }

  draw(p, chosen) {
    const { episode } = this;
    const { context, width, height } = surface(this.canvas);
    const count = episode.serverCount;
    const columns = fullestGrid(count, Math.sqrt((count * width) / (height * 1.35)));
    const rows = Math.ceil(count / columns);
    const cell = { width: width / columns, height: height / rows };
    this.layout = { columns, cell };
    const gap = cell.width > 8 ? 2 : cell.width > 4 ? 1 : 0;
    const loads = episode.loads(p);
    const event = episode.event(p);
    const { node_cpu: cpu, node_memory: memory, nodes } = episode.servers;
    for (let server = 0; server < count; server++) {
      const box = this.#box(server, gap, Math.sqrt(cpu[server] / episode.largest.cpu));
      if (!episode.isActive(server, p)) {
        outline(context, box.x, box.y, box.w, box.h, { stroke: colour("line"), dashed: true, width: 1 });
        continue;
      }
      for (let node = 0; node < nodes[server]; node++) {
        const slot = 2 * server + node;
        const share = Math.max(loads.cpu[slot] / cpu[server], loads.memory[slot] / memory[server]);
        context.fillStyle = heat(share);
        context.fillRect(box.x, box.y + (node * box.h) / 2, box.w, box.h / 2);
        if (box.h > 44 && box.w > 40) write(context, `${Math.round(100 * share)}%`, box.x + box.w - 5, box.y + (node + 0.5) * (box.h / 2), { align: "right", fill: this.#inkOn(share) });
        if (node === 0 && box.h > 28 && box.w > 26) write(context, String(server), box.x + 5, box.y + box.h / 4, { fill: this.#inkOn(share) });
      }
      if (box.h > 20) {
        context.fillStyle = colour("card");
        context.fillRect(box.x, box.y + box.h / 2 - 0.5, box.w, 1);
      }
    }
    if (chosen !== null && chosen < count) this.#mark(context, chosen, colour("alarm"), false);
    if (event && !event.refused) this.#mark(context, event.server, colour("ink"), event.departure);
  }

  #mark(context, server, stroke, dashed) {
    const { x, y, w, h } = this.#box(server, 0);
    context.save();
    context.strokeStyle = colour("card"); // so that the frame is seen on every heat colour
    context.lineWidth = 5;
    context.strokeRect(x + 2, y + 2, Math.max(w - 4, 4), Math.max(h - 4, 4));
    context.strokeStyle = stroke;
    context.lineWidth = 2.5;
    if (dashed) context.setLineDash([4, 3]);
    context.strokeRect(x + 2, y + 2, Math.max(w - 4, 4), Math.max(h - 4, 4));
    context.restore();
  }

  // Where a server is drawn: its cell, or as much of each side of it as `scale` says.
  #box(server, gap, scale = 1) {
    const { columns, cell } = this.layout;
    const x = (server % columns) * cell.width, y = Math.floor(server / columns) * cell.height;
    const w = (cell.width - gap) * scale, h = (cell.height - gap) * scale;
    return { x: x + (cell.width - w) / 2, y: y + (cell.height - h) / 2, w, h };
  }

  // Text has to be read on every heat colour: take whichever of black and white is further from it.
  #inkOn(share) {
    const [r, g, b] = heat(share).match(/\d+/g).map(Number);
    return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#10181f" : "#ffffff";
  }

  serverAt(x, y) {
    const { columns, cell } = this.layout;
    const server = Math.floor(y / cell.height) * columns + Math.floor(x / cell.width);
    return server >= 0 && server < this.episode.serverCount ? server : null;
  }
}
