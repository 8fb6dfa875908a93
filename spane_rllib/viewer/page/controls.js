// The player's buttons, keys and fields, and when the page is drawn again.

import { Player } from "./player.js";
import { readColours } from "./surface.js";

// A function that draws once in the next frame, however often it is called before.
export function oncePerFrame(draw) {
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      draw();
    });
  };
}

// What every page's keys do, by the key.
export const playerKeys = (player) => ({
  " ": () => player.toggle(),
  ArrowLeft: (event) => player.pauseAt(player.step - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => player.pauseAt(player.step + (event.shiftKey ? 10 : 1)),
  Home: () => player.pauseAt(0),
  End: () => player.pauseAt(player.length),
  "+": () => player.changeSpeed(1),
  "-": () => player.changeSpeed(-1),
});

// Buttons, the speed and the position of a page, whose `redraw` is called when its size or its colours change.
// `keys` are those of the page, `buttons` the keys that its own buttons stand for.
export function connect(player, keys, buttons, redraw) {
  const byId = (id) => document.getElementById(id);
  document.addEventListener("keydown", (event) => {
    const pressing = event.target.matches("button") && event.key === " ";
    if (event.target.matches("input, select") || pressing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key](event);
  });
  const clicks = { first: "Home", back: "ArrowLeft", play: " ", forward: "ArrowRight", last: "End", ...buttons };
  for (const [id, key] of Object.entries(clicks)) byId(id).addEventListener("click", (event) => keys[key](event));
  byId("speed").append(...Player.speeds.map((speed) => new Option(`${speed} / s`, speed)));
  byId("speed").addEventListener("change", (event) => { player.speed = Number(event.target.value); });
  byId("position").max = player.length;
  byId("position").addEventListener("input", (event) => event.target.value !== "" && player.pauseAt(Number(event.target.value)));
  const again = () => {
    readColours();
    redraw();
  };
  new ResizeObserver(again).observe(document.body);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
}

// Shows where the player is: what the buttons say and allow, the speed, the position.
export function showPlayer(player) {
  const byId = (id) => document.getElementById(id);
  byId("play").textContent = player.playing ? "Pause" : "Play";
  byId("speed").value = player.speed;
  if (document.activeElement !== byId("position")) byId("position").value = player.step;
  byId("first").disabled = byId("back").disabled = player.step === 0;
  byId("last").disabled = byId("forward").disabled = player.step === player.length;
}
