// Machines as two NUMA bars each, VMs as their blocks, the migration of the step as an arrow.

import { colour, heat, line, outline, surface, write } from "../../../../viewer/page/surface.js";

export function drawMachines(canvas, episode, step) {
  const { context, width, height } = surface(canvas);
  const count = episode.hosts.length, columns = Math.min(count, Math.max(1, Math.floor(width / 46)));
  const rows = Math.ceil(count / columns), cell = { w: width / columns, h: height / rows };
  const bar = Math.max(cell.w * 0.4, 2), top = Math.min(16, cell.h * 0.2), tall = Math.max(cell.h - top - 14, 4);
  const x = (host, node) => (host % columns) * cell.w + cell.w * 0.06 + node * (bar + cell.w * 0.04);
  const floor = (host) => Math.floor(host / columns) * cell.h + top + tall;
  const at = episode.at(step), move = at ? episode.moves[at - 1] : null;
  const filled = Array.from({ length: count }, () => [0, 0]);
  episode.hosts.forEach((name, host) => {
    for (const node of [0, 1]) outline(context, x(host, node), floor(host) - tall, bar, tall, { stroke: colour("line"), width: 1 });
    if (cell.w > 34) write(context, name.slice(-7), (host % columns) * cell.w + cell.w / 2, floor(host) + 7, { align: "center" });
  });
  episode.steps[at].forEach(([host, node], vm) => {
    for (const each of node === 2 ? [0, 1] : [node]) {
      const share = episode.cores[vm] / episode.capacity[host][each], h = share * tall;
      const y = floor(host) - filled[host][each] * tall - h;
      context.fillStyle = heat(Math.min(1, 0.15 + Math.log2(episode.cores[vm]) / 7));
      context.fillRect(x(host, each), y, bar, h);
      const moved = move && move[0] === vm;
      outline(context, x(host, each), y, bar, h, { stroke: colour(moved ? "alarm" : "card"), width: moved ? 2 : 0.5 });
      filled[host][each] += share;
    }
  });
  if (!move) return;
  const [, host, node] = move, [oldHost, oldNode] = episode.from[at];
  const middle = (where, on) => x(where, on === 1 ? 1 : 0) + bar * (on === 2 ? 1.05 : 0.5);
  arrow(context, middle(oldHost, oldNode), floor(oldHost) - tall, middle(host, node), floor(host) - tall);
}

function arrow(context, x0, y0, x1, y1) {
  const stroke = colour("alarm"), side = x1 < x0 ? 5 : -5;
  context.save();
  context.lineWidth = 2;
  line(context, x0, y0 - 3, x1, y1 - 3, stroke);
  line(context, x1, y1 - 3, x1 + side, y1 - 8, stroke);
  line(context, x1, y1 - 3, x1 + side, y1 + 2, stroke);
  context.restore();
}
