// CPU and memory in use over the last events.

import { colour, line, surface, trace, write } from "../../../../viewer/page/surface.js";

export const WINDOW = 300;
const RIGHT = 40;

export function drawTrend(canvas, episode, p) {
  const { context, width, height } = surface(canvas);
  const last = Math.max(p, Math.min(WINDOW, episode.length)), first = Math.max(0, last - WINDOW);
  const span = width - RIGHT, bottom = height - 2;
  const x = (i) => ((i - first) / Math.max(1, last - first)) * span;
  const y = (share) => bottom - share * (bottom - 6);
  for (const share of [0, 0.5, 1]) {
    line(context, 0, Math.round(y(share)) + 0.5, span, Math.round(y(share)) + 0.5);
    write(context, `${100 * share}%`, width, y(share) + (share ? (share === 1 ? 2 : 0) : -4), { align: "right" });
  }
  for (const name of ["cpu", "memory"]) {
    trace(context, (i) => episode[name][i], first, p, x, y);
    context.strokeStyle = colour(name);
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.stroke();
    if (name === "cpu") {
      context.lineTo(x(p), y(0));
      context.lineTo(x(first), y(0));
      context.globalAlpha = 0.14;
      context.fillStyle = colour(name);
      context.fill();
      context.globalAlpha = 1;
    }
    context.fillStyle = colour(name);
    context.beginPath();
    context.arc(x(p), y(episode[name][p]), 3, 0, 2 * Math.PI);
    context.fill();
  }
}
