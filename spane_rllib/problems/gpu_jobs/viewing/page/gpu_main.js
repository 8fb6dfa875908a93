// Puts the page together: recordings in, sides and player out.

import { connect, oncePerFrame, playerKeys, showPlayer } from "../../../../viewer/page/controls.js";
import { amount, clock, count, duration, percent } from "../../../../viewer/page/format.js";
import { Player } from "../../../../viewer/page/player.js";
import { bandColour, GpuChart, GUTTER } from "./gpu_chart.js";
import { after, firstDifference, GpuSchedule, union } from "./gpu_schedule.js";
import { colour, line, readColours, surface, trace } from "../../../../viewer/page/surface.js";

const byId = (id) => document.getElementById(id);
const schedules = JSON.parse(byId("recordings").textContent).map((recording) => new GpuSchedule(recording));
const [first, second] = schedules;
const steps = second ? union(first.time, second.time) : first.time;
const span = { from: first.begin, to: Math.max(...schedules.map((schedule) => schedule.end), first.begin + 1) };
const most = Math.max(...schedules.map((schedule) => schedule.longest), 1);
const difference = second ? firstDifference(first, second) : null;
let view = { ...span }, chosen = -1, overview = null;
const sides = schedules.map((schedule, index) => {
  const root = byId("side").content.firstElementChild.cloneNode(true);
  root.querySelector(".name").textContent = second ? `${"AB"[index]}: ${schedule.policy}` : schedule.policy;
  const [canvas, strip] = root.querySelectorAll("canvas"), chart = new GpuChart(canvas, strip, schedule);
  listen(canvas, (event) => chart.under(event.offsetX, event.offsetY, view).job, chart);
  listen(strip, (event) => chart.boxUnder(event.offsetX), chart);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 0.5 : 2, chart.under(event.offsetX, 0, view).time);
  }, { passive: false });
  return { root, chart, schedule };
});
const schedule = oncePerFrame(draw);
const player = new Player(steps.length - 1, () => { follow(); schedule(); });

function draw() {
  const time = steps[player.step];
  for (const side of sides) drawSide(side, time);
  drawOverview(time);
  showPlayer(player);
  byId("clock").textContent = clock(time - first.begin);
  if (!player.playing) byId("announcement").textContent = sides.map(({ root }) => root.querySelector("canvas").getAttribute("aria-label")).join("; ");
}

function drawSide({ root, chart, schedule }, time) {
  chart.draw(time, view, most, chosen);
  const at = Math.max(schedule.at(time), 0), waiting = schedule.queue(at), completed = schedule.completed[at];
  const oldest = chart.oldest.length ? time - schedule.arrival[chart.oldest[0]] : 0;
  const texts = {
    busy: percent(schedule.busy[at] / schedule.gpus), running: count(schedule.running[at]), gpus: `${amount(schedule.busy[at])} of ${count(schedule.gpus)}`,
    waiting: count(waiting), oldest: waiting ? duration(oldest) : "–",
    completed: count(completed), jct: completed ? duration(schedule.totalJct[at] / completed) : "–",
  };
  for (const [field, text] of Object.entries(texts)) root.querySelector(`[data-field=${field}]`).textContent = text;
  root.querySelector("canvas").setAttribute("aria-label", `${schedule.policy}: ${texts.gpus} GPUs busy, ${texts.waiting} jobs wait, ${texts.completed} completed`);
}

// Of the whole time: GPUs in use as a line, waiting jobs as an area; a row for each policy.
function drawOverview(time) {
  const canvas = byId("overview").firstElementChild, { context, width, height } = surface(canvas);
  const x = (at) => ((at - span.from) / (span.to - span.from)) * width, row = height / schedules.length;
  const key = [canvas.width, canvas.height, colour("card")].join();
  if (!overview || overview.key !== key) {
    schedules.forEach((schedule, index) => {
      const bottom = (index + 1) * row - 2, last = schedule.time.length - 1, on = (at) => x(schedule.time[at]);
      trace(context, (at) => schedule.queue(at), 0, last, on, (value) => bottom - (value / most) * (row - 5));
      context.lineTo(x(schedule.time[last]), bottom);
      context.lineTo(0, bottom);
      context.fillStyle = colour("memorySoft");
      context.fill();
      trace(context, (at) => schedule.busy[at], 0, last, on, (value) => bottom - (value / schedule.gpus) * (row - 5));
      context.strokeStyle = colour("cpu");
      context.stroke();
    });
    if (difference !== null) line(context, x(difference), 0, x(difference), height, colour("wait"));
    const image = document.createElement("canvas");
    [image.width, image.height] = [canvas.width, canvas.height];
    image.getContext("2d").drawImage(canvas, 0, 0);
    overview = { key, image };
  } else context.drawImage(overview.image, 0, 0, width, height);
  if (view.to - view.from < span.to - span.from) {
    context.globalAlpha = 0.16;
    context.fillStyle = colour("ink");
    context.fillRect(x(view.from), 0, Math.max(x(view.to) - x(view.from), 2), height);
    context.globalAlpha = 1;
  }
  line(context, x(time), 0, x(time), height, colour("ink"));
}

// The view goes with the moment.
function follow() {
  const time = steps[player.step], wide = view.to - view.from;
  if (time < view.from || time > view.from + 0.9 * wide) moveView(time - 0.25 * wide, wide);
}

function moveView(from, wide) {
  const start = Math.min(Math.max(from, span.from), Math.max(span.to - wide, span.from));
  view = { from: start, to: start + wide };
}

function zoom(factor, around = steps[player.step]) {
  const wide = Math.min(Math.max((view.to - view.from) * factor, 10), span.to - span.from);
  moveView(around - ((around - view.from) / (view.to - view.from)) * wide, wide);
  schedule();
}

function listen(canvas, find, chart) {
  const tooltip = byId("tooltip");
  canvas.addEventListener("pointermove", (event) => {
    const job = find(event);
    tooltip.hidden = job < 0;
    if (job < 0) return;
    tooltip.textContent = chart.describe(job);
    tooltip.style.left = `${Math.min(event.clientX + 12, document.documentElement.clientWidth - tooltip.offsetWidth - 4)}px`;
    tooltip.style.top = `${Math.max(event.clientY - tooltip.offsetHeight - 8, 4)}px`;
  });
  canvas.addEventListener("pointerleave", () => { tooltip.hidden = true; });
  canvas.addEventListener("pointerdown", (event) => { chosen = find(event); schedule(); });
}

function jump(time) {
  if (time !== null) player.pauseAt(after(steps, time) - 1);
}

function nextWait() {
  const found = schedules.map((one) => one.nextWait(steps[player.step])).filter((time) => time !== null);
  jump(found.length ? Math.min(...found) : null);
}

const KEYS = {
  ...playerKeys(player),
  w: nextWait,
  d: () => jump(difference),
  i: () => zoom(0.5),
  o: () => zoom(2),
  a: () => { view = { ...span }; schedule(); },
  Escape: () => { chosen = -1; schedule(); },
};

connect(player, KEYS, { "next-wait": "w", difference: "d", closer: "i", wider: "o", all: "a" }, schedule);
const seek = (event) => jump(span.from + (event.offsetX / byId("overview").clientWidth) * (span.to - span.from));
byId("overview").addEventListener("pointerdown", (event) => { event.target.setPointerCapture(event.pointerId); seek(event); });
byId("overview").addEventListener("pointermove", (event) => event.buttons && seek(event));
byId("difference").hidden = !second;
byId("difference").disabled = difference === null;
byId("heading").textContent = second ? "Two policies, the same jobs" : first.policy;
byId("subheading").textContent = `${first.workload}: ${count(first.count)} jobs on ${count(first.gpus)} GPUs (${first.types.map(([name, number]) => `${number} ${name}`).join(", ")})`;
byId("length").textContent = count(player.length);
byId("sides").append(...sides.map(({ root }) => root));
document.documentElement.style.setProperty("--gutter", `${GUTTER}px`);
readColours();
const legend = Array.from({ length: first.bands }, (_, band) => {
  const item = document.createElement("li"), of = first.priorities.filter((_, rank) => Math.floor((rank * first.bands) / first.priorities.length) === band);
  item.textContent = of.length > 1 ? `priority ${amount(of[0])} to ${amount(of[of.length - 1])}` : `priority ${amount(of[0])}`;
  return item;
});
byId("priorities").prepend(...legend);
const colourLegend = () => legend.forEach((item, band) => item.style.setProperty("--swatch", bandColour(first, band)));
colourLegend();
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colourLegend);
player.moveTo(location.hash ? Number(location.hash.slice(1)) || 0 : 0); // page.html#120 opens after event 120
