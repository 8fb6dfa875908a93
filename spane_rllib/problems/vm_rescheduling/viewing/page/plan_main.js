// Puts the page together: recorded plans in, sides and player out.

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
const player = new Player(Math.max(...episodes.map((episode) => episode.length)), schedule);
player.speed = 1;

let scheduled = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    draw();
  });
}

function draw() {
  const step = player.step;
  episodes.forEach((episode, index) => drawSide(sides[index], episode, step));
  drawOverview(step);
  byId("play").textContent = player.playing ? "Pause" : "Play";
  byId("speed").value = player.speed;
  if (document.activeElement !== byId("position")) byId("position").value = step;
  byId("first").disabled = byId("back").disabled = step === 0;
  byId("last").disabled = byId("forward").disabled = step === player.length;
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

const KEYS = {
  " ": () => player.toggle(),
  ArrowLeft: (event) => player.pauseAt(player.step - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => player.pauseAt(player.step + (event.shiftKey ? 10 : 1)),
  Home: () => player.pauseAt(0),
  End: () => player.pauseAt(player.length),
  "+": () => player.changeSpeed(1),
  "-": () => player.changeSpeed(-1),
};

document.addEventListener("keydown", (event) => {
  const pressing = event.target.matches("button") && event.key === " ";
  if (event.target.matches("input, select") || pressing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key](event);
});
const clicks = { first: "Home", back: "ArrowLeft", play: " ", forward: "ArrowRight", last: "End" };
for (const [id, key] of Object.entries(clicks)) byId(id).addEventListener("click", (event) => KEYS[key](event));
byId("speed").append(...Player.speeds.map((speed) => new Option(`${speed} / s`, speed)));
byId("speed").addEventListener("change", (event) => { player.speed = Number(event.target.value); });
byId("position").max = player.length;
byId("position").addEventListener("input", (event) => event.target.value !== "" && player.pauseAt(Number(event.target.value)));
byId("heading").textContent = episodes.length > 1 ? "Two plans for one mapping" : first.policy;
byId("subheading").textContent = `${first.mapping}, objective ${first.objective}, at most ${count(first.migration_limit)} migrations; the hosts that the plan touches`;
byId("length").textContent = count(player.length);
byId("sides").append(...sides);
const redraw = () => {
  readColours();
  schedule();
};
new ResizeObserver(redraw).observe(document.body);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
readColours();
player.moveTo(Number(location.hash.slice(1)) || 0); // page.html#20 opens after migration 20
