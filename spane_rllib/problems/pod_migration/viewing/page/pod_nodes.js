// Nodes as bars of their pods, and moves as arrows from node to node; the demand of the day lies behind.

import { colour, line, outline, surface, write } from "../../../../viewer/page/surface.js";

export function drawNodes(canvas, episode, at) {
  const { context, width, height } = surface(canvas);
  const nodes = episode.node_names.length, window = episode.windows[at], placement = episode.placements[at];
  const floor = height - 18, top = 26, tallest = 1.4;
  const y = (share) => floor - (Math.min(share, tallest) / tallest) * (floor - top);
  const slot = width / nodes, bar = Math.max(slot * 0.36, 2), x = (node, resource) => node * slot + slot * 0.1 + resource * (bar + slot * 0.06);
  drawDemand(context, episode, at, width, floor, y);
  line(context, 0, y(episode.overload), width, y(episode.overload), colour("alarm"));
  line(context, 0, y(1), width, y(1), colour("faint"));
  const moved = new Set(window.moves.map(([pod]) => pod));
  const heights = Array.from({ length: nodes }, () => [0, 0]);
  placement.forEach((node, pod) => {
    for (const resource of [0, 1]) {
      const name = resource ? "memory" : "cpu", capacity = episode.capacity[node][resource];
      const own = episode.own[pod][resource] / capacity, asked = window.pods[pod][resource] / capacity;
      const before = heights[node][resource];
      context.fillStyle = colour(`${name}Soft`);
      context.fillRect(x(node, resource), y(before + own), bar, y(before) - y(before + own));
      context.fillStyle = colour(name);
      context.fillRect(x(node, resource), y(before + own + asked), bar, y(before + own) - y(before + own + asked));
      outline(context, x(node, resource), y(before + own + asked), bar, y(before) - y(before + own + asked), { stroke: colour(moved.has(pod) ? "wait" : "card"), width: moved.has(pod) ? 2 : 1 });
      heights[node][resource] += own + asked;
    }
  });
  for (let node = 0; node < nodes; node++) {
    const peak = Math.max(...window.peak[node]);
    for (const resource of [0, 1]) line(context, x(node, resource), y(window.peak[node][resource]), x(node, resource) + bar, y(window.peak[node][resource]), colour("ink"));
    if (slot > 34) write(context, episode.node_names[node].slice(-9), node * slot + slot / 2, height - 7, { align: "center", fill: colour(peak > episode.overload ? "alarm" : "soft") });
  }
  window.moves.forEach(([, node], index) => arrow(context, (window.from[index] + 0.5) * slot, (node + 0.5) * slot, 8 + (index % 4) * 4, colour("wait")));
}

// CPU and memory of the requests of every window, faint, with the present one marked.
function drawDemand(context, episode, at, width, floor, y) {
  const [cpu, memory] = [0, 1].map((resource) => episode.capacity.reduce((sum, one) => sum + one[resource], 0));
  context.fillStyle = colour("chosen");
  episode.windows.forEach((window, index) => {
    const share = Math.max(window.demand[0] / cpu, window.demand[1] / memory);
    context.fillRect((index / episode.length) * width, y(share), Math.max(width / episode.length, 1), floor - y(share));
  });
  context.fillStyle = colour("line");
  context.fillRect((at / episode.length) * width, y(1.4), Math.max(width / episode.length, 2), floor - y(1.4));
}

function arrow(context, from, to, y, stroke) {
  line(context, from, y, to, y, stroke);
  line(context, from, y, from, y + 14, stroke);
  line(context, to, y, to, y + 14, stroke);
  line(context, to - 4, y + 9, to, y + 14, stroke);
  line(context, to + 4, y + 9, to, y + 14, stroke);
}
