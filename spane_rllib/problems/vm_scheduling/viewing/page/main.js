// Puts the page together: recordings in, sides, overview and player out.

import { oncePerFrame, playerKeys, showPlayer } from "../../../../viewer/page/controls.js";
import { Episode } from "./episode.js";
import { clock, count, plural, seconds } from "../../../../viewer/page/format.js";
import { Overview } from "./overview.js";
import { Player } from "../../../../viewer/page/player.js";
import { Side } from "./side.js";
import { readColours } from "../../../../viewer/page/surface.js";
import { Timeline } from "./timeline.js";

const byId = (id) => document.getElementById(id);
const episodes = JSON.parse(byId("recordings").textContent).map((recording) => new Episode(recording));
const timeline = new Timeline(episodes);
const sides = episodes.map((episode, index) => new Side(episode, index, choose));
const schedule = oncePerFrame(draw);
const player = new Player(timeline.length, schedule);
const overview = new Overview(byId("overview"), timeline, (step) => player.pauseAt(step));

function draw() {
  const positions = timeline.positions(player.step);
  sides.forEach((side, i) => side.draw(positions[i]));
  const time = clock(episodes[0].time(positions[0]) - episodes[0].begin);
  overview.draw(player.step, `${timeline.unit} ${player.step} of ${timeline.length}, ${time}`);
  showPlayer(player);
  byId("clock").textContent = timeline.pair ? time : `${time} since the first arrival`;
  byId("next-tick").disabled = timeline.next(timeline.ticks, player.step) === null;
  if (!player.playing) byId("announcement").textContent = `${timeline.unit} ${player.step}: ${sides.map((side) => side.$(".place").textContent).join("; ")}`;
}

function choose(server) {
  for (const side of sides) side.chosen = server;
  schedule();
}

function chooseNext(direction) {
  const servers = Math.max(...episodes.map((episode) => episode.serverCount));
  const chosen = sides[0].chosen ?? (direction > 0 ? -1 : 0);
  choose((chosen + direction + servers) % servers);
}

function jump(lists, direction = 1) {
  const step = timeline.next(lists, player.step, direction);
  if (step !== null) player.pauseAt(step);
}

function jumpToAlarm() {
  const ahead = timeline.next(timeline.alarms, player.step);
  const first = timeline.next(timeline.alarms, -1);
  if (first !== null) player.pauseAt(ahead ?? first);
}

const jumpToDifference = () => timeline.difference !== null && player.pauseAt(timeline.difference);

const KEYS = {
  ...playerKeys(player),
  w: () => jump(timeline.ticks),
  W: () => jump(timeline.ticks, -1),
  c: jumpToAlarm,
  d: jumpToDifference,
  "=": () => player.changeSpeed(1),
  "[": () => chooseNext(-1),
  "]": () => chooseNext(1),
  Escape: () => choose(null),
  "?": () => byId("help").showModal(),
};

function listen() {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select") || byId("help").open;
    const pressing = event.target.matches("button") && event.key === " ";
    if (typing || pressing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key](event);
  });
  const clicks = {
    first: KEYS.Home, back: KEYS.ArrowLeft, play: KEYS[" "], forward: KEYS.ArrowRight, last: KEYS.End, "next-tick": KEYS.w,
    "next-alarm": KEYS.c, "first-difference": KEYS.d, "help-button": KEYS["?"],
  };
  for (const [id, action] of Object.entries(clicks)) {
    byId(id).addEventListener("click", (event) => {
      if (event.detail) byId(id).blur(); // after a click with the mouse, the space key plays
      action(event);
    });
  }
  byId("speed").addEventListener("change", (event) => {
    player.speed = Number(event.target.value);
    event.target.blur();
  });
  byId("position").addEventListener("input", (event) => event.target.value !== "" && player.pauseAt(Number(event.target.value)));
  byId("position").addEventListener("keydown", (event) => event.key === "Enter" && event.target.blur());
  byId("position").addEventListener("blur", schedule);
  const redraw = () => {
    readColours();
    overview.invalidate();
    schedule();
  };
  new ResizeObserver(redraw).observe(document.body);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

function describe() {
  const [first] = episodes;
  document.body.className = timeline.pair ? "pair" : "single";
  byId("heading").textContent = timeline.pair ? "Two policies, the same arrivals" : first.policy;
  const range = (first, last) => (first < last ? `${count(first)} to ${count(last)}` : count(last));
  const servers = [...new Set(episodes.map(({ active, serverCount }) => range(active[0], serverCount)))].join(" and ");
  const what = timeline.waiting ? `${count(first.vmCount)} VMs on ${servers} servers` : `scenario ${first.scenario} on ${servers} servers`;
  byId("subheading").textContent = `${first.trace}, from row ${first.start}, ${what}`;
  byId("subheading").title = episodes.map((episode) => episode.source).join("\n");
  byId("unit").textContent = timeline.unit;
  byId("length").textContent = count(timeline.length);
  byId("position").max = timeline.length;
  byId("speed").append(...Player.speeds.map((speed) => new Option(`${speed} / s`, speed)));
  byId("next-alarm").disabled = timeline.alarms.flat().length === 0;
  byId("first-difference").disabled = timeline.difference === null;
  describeMarks();
  byId("sides").append(...sides.map((side) => side.root));
}

function describeMarks() {
  const { pair, waiting } = timeline;
  const inTheEnd = ({ totalWait, decisions, length }, name) => (waiting
    ? `total wait of ${name}: ${seconds(totalWait[length])} in the end`
    : `CPU in use by ${name}, which places ${plural(decisions[length], "VM")}`);
  const legend = pair
    ? episodes.map((episode, i) => [["first", "second"][i], inTheEnd(episode, "AB"[i])])
    : [["cpu", "CPU in use"], ["memory", "memory in use"]];
  const rows = pair ? " (A above B)" : "";
  if (waiting) legend.push(["wait", `a VM waited${rows}`], ["alarm", "total wait passes 300,000 s"]);
  if (!waiting) {
    const grows = timeline.ticks.flat().length > 0;
    if (grows) legend.push(["wait", `servers added${rows}`]);
    if (timeline.alarms.flat().length) legend.push(["alarm", "a VM fits nowhere"]);
    byId("next-tick").hidden = !grows;
    Object.assign(byId("next-tick"), { textContent: "Next expansion", title: "Where servers are added next (W)" });
    Object.assign(byId("next-alarm"), { textContent: "Fits nowhere", title: "The VM that fits nowhere (C)" });
  }
  byId("overview-legend").append(...legend.map(([kind, text]) => Object.assign(document.createElement("li"), { className: kind, textContent: text })));
}

describe();
readColours();
listen();
player.moveTo(Number(location.hash.slice(1)) || 0); // page.html#120 opens at step 120
