// Puts the page together: recordings in, sides and player out.

import { connect, oncePerFrame, playerKeys, showPlayer } from "../../../../viewer/page/controls.js";
import { clock, count } from "../../../../viewer/page/format.js";
import { Player } from "../../../../viewer/page/player.js";
import { PodEpisode } from "./pod_episode.js";
import { drawNodes } from "./pod_nodes.js";
import { colour, line, readColours, surface } from "../../../../viewer/page/surface.js";

const byId = (id) => document.getElementById(id);
const episodes = JSON.parse(byId("recordings").textContent).map((recording) => new PodEpisode(recording));
const [first] = episodes;
const sides = episodes.map((episode, index) => {
  const root = byId("side").content.firstElementChild.cloneNode(true);
  root.querySelector(".name").textContent = episodes.length > 1 ? `${"AB"[index]}: ${episode.policy}` : episode.policy;
  return root;
});
const schedule = oncePerFrame(draw);
const player = new Player(first.length - 1, schedule);

function draw() {
  const at = player.step;
  episodes.forEach((episode, index) => drawSide(sides[index], episode, at));
  drawOverview(at);
  const time = clock((first.start + at) * first.window_s);
  showPlayer(player);
  byId("clock").textContent = `${time} since the trace began`;
  if (!player.playing) byId("announcement").textContent = `window ${at}: ${episodes.map((episode) => `${episode.sums[at].violations} violations, ${episode.sums[at].moves} moves`).join("; ")}`;
}

function drawSide(root, episode, at) {
  const window = episode.windows[at], sum = episode.sums[at];
  const texts = { violations: sum.violations, now: window.violations, moves: sum.moves, moved: window.moves.length, unsatisfied: sum.unsatisfied, requests: window.requests };
  for (const [field, value] of Object.entries(texts)) root.querySelector(`[data-field=${field}]`).textContent = count(value);
  const canvas = root.querySelector("canvas");
  drawNodes(canvas, episode, at);
  canvas.setAttribute("aria-label", `${window.violations} overloaded node-slots; moves: ${window.moves.map(([pod, node]) => `${episode.pod_names[pod]} to ${episode.node_names[node]}`).join(", ") || "none"}`);
}

function drawOverview(at) {
  const { context, width, height } = surface(byId("overview").firstElementChild);
  const most = Math.max(...first.windows.map((window) => Math.max(...window.demand)), 1);
  const step = width / first.length, rows = 8 * episodes.length;
  first.windows.forEach((window, index) => {
    for (const resource of [1, 0]) {
      const tall = (window.demand[resource] / most) * (height - rows - 4);
      context.fillStyle = colour(resource ? "memory" : "cpu");
      context.fillRect(index * step, height - rows - tall, Math.max(step - 0.5, 0.5), tall);
    }
  });
  episodes.forEach((episode, row) => episode.windows.forEach((window, index) => {
    for (const [happens, name, offset] of [[window.moves.length, "wait", 0], [window.violations, "alarm", 4]]) {
      if (!happens) continue;
      context.fillStyle = colour(name);
      context.fillRect(index * step, height - rows + 8 * row + offset, Math.max(step, 2), 3);
    }
  }));
  line(context, (at + 0.5) * step, 0, (at + 0.5) * step, height, colour("ink"));
}

function jump(wanted) {
  const found = episodes.map((episode) => episode.next(player.step + 1, wanted)).filter((step) => step !== null);
  if (found.length) player.pauseAt(Math.min(...found));
}

const KEYS = {
  ...playerKeys(player),
  m: () => jump((window) => window.moves.length),
  v: () => jump((window) => window.violations),
};

connect(player, KEYS, { "next-move": "m", "next-violation": "v" }, schedule);
byId("overview").addEventListener("pointerdown", (event) => player.pauseAt((event.offsetX / byId("overview").clientWidth) * first.length - 0.5));
byId("heading").textContent = episodes.length > 1 ? "Two policies, the same windows" : first.policy;
byId("subheading").textContent = `${first.trace}, ${count(first.length)} windows from ${first.start}; cluster ${first.cluster}: ${first.node_names.length} nodes, ${first.pod_names.length} pods`;
byId("length").textContent = count(player.length);
byId("sides").append(...sides);
readColours();
player.moveTo(Number(location.hash.slice(1)) || 0); // page.html#120 opens at window 120
