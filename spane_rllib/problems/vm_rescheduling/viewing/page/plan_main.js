// Puts the page together: recorded plans in, sides and player out.

import { connect, oncePerFrame, playerKeys, showPlayer } from "../../../../viewer/page/controls.js";
import { count } from "../../../../viewer/page/format.js";
import { Player } from "../../../../viewer/page/player.js";
import { PlanEpisode } from "./plan_episode.js";
import { drawMachines } from "./plan_machines.js";
import { colour, line, readColours, surface, write } from "../../../../viewer/page/surface.js";

const byId = (id) => document.getElementById(id);
const episodes = JSON.parse(byId("recordings").textContent).map((recording) => new PlanEpisode(recording));
const [first] = episodes;
const sides = episodes.map((episode, index) => {
  const root = byId("side").content.firstElementChild.cloneNode(true);
  root.querySelector(".name").textContent = episodes.length > 1 ? `${"AB"[index]}: ${episode.policy}` : episode.policy;
  return root;
});
const schedule = oncePerFrame(draw);
const player = new Player(Math.max(...episodes.map((episode) => episode.length)), schedule);
player.speed = 1;

function draw() {
  const step = player.step;
  episodes.forEach((episode, index) => drawSide(sides[index], episode, step));
  drawOverview(step);
  showPlayer(player);
  if (!player.playing) byId("announcement").textContent = episodes.map((episode) => `${episode.policy}: ${episode.told(step)}, ${rate(episode, step)}`).join("; ");
}

const rate = (episode, step) => episode.rates[episode.at(step)].toFixed(4);

function drawSide(root, episode, step) {
  root.querySelector("[data-field=rate]").textContent = rate(episode, step);
  root.querySelector("[data-field=start]").textContent = rate(episode, 0);
  root.querySelector("[data-field=moves]").textContent = count(episode.at(step));
  root.querySelector("[data-field=told]").textContent = episode.told(step);
  const canvas = root.querySelector("canvas");
  drawMachines(canvas, episode, step);
  canvas.setAttribute("aria-label", episode.told(step));
}

function drawOverview(step) {
  const { context, width, height } = surface(byId("overview").firstElementChild);
  const all = episodes.flatMap((episode) => episode.rates), low = Math.min(...all), high = Math.max(...all, low + 1e-9);
  const x = (at) => (at / Math.max(player.length, 1)) * (width - 40), y = (value) => 6 + ((high - value) / (high - low)) * (height - 12);
  episodes.forEach((episode, index) => {
    for (let at = 1; at < episode.rates.length; at++) line(context, x(at - 1), y(episode.rates[at - 1]), x(at), y(episode.rates[at]), colour(index ? "memory" : "cpu"));
    write(context, "AB"[index], x(episode.length) + 8, y(episode.rates[episode.length]), { fill: colour(index ? "memory" : "cpu") });
  });
  line(context, x(step), 0, x(step), height, colour("ink"));
}

connect(player, playerKeys(player), {}, schedule);
byId("heading").textContent = episodes.length > 1 ? "Two plans for one mapping" : first.policy;
byId("subheading").textContent = `${first.mapping}, objective ${first.objective}, at most ${count(first.migration_limit)} migrations; the hosts that the plan touches`;
byId("length").textContent = count(player.length);
byId("sides").append(...sides);
readColours();
player.moveTo(Number(location.hash.slice(1)) || 0); // page.html#20 opens after migration 20
