// Canvases: sharp on any display, in the colours of the page's theme.

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
let colours = {};

export function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["card", "ink", "soft", "faint", "line", "cpu", "memory", "wait", "alarm", "chosen"];
  colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  colours.cpuSoft = style.getPropertyValue("--cpu-soft").trim();
  colours.memorySoft = style.getPropertyValue("--memory-soft").trim();
  colours.heat = style.getPropertyValue("--heat").split(",").map((text) => rgb(text.trim()));
}

export const colour = (name) => colours[name];

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

// The heat colour of a share from 0 to 1.
export function heat(share) {
  const at = Math.min(Math.max(share, 0), 1) * (colours.heat.length - 1);
  const low = Math.min(Math.floor(at), colours.heat.length - 2);
  const mix = colours.heat[low].map((value, i) => Math.round(value + (colours.heat[low + 1][i] - value) * (at - low)));
  return `rgb(${mix.join(",")})`;
}

// A cleared drawing context in CSS pixels, with the canvas's width and height.
export function surface(canvas, width = canvas.clientWidth, height = canvas.clientHeight) {
  const ratio = window.devicePixelRatio || 1;
  const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  context.lineWidth = 1;
  return { context, width, height };
}

export function write(context, text, x, y, { align = "left", baseline = "middle", fill = colours.soft } = {}) {
  context.fillStyle = fill;
  context.textAlign = align;
  context.textBaseline = baseline;
  context.fillText(text, x, y);
}

export function line(context, x0, y0, x1, y1, stroke = colours.line) {
  context.strokeStyle = stroke;
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

export function outline(context, x, y, w, h, { stroke = colours.ink, dashed = false, width = 2 } = {}) {
  context.save();
  context.strokeStyle = stroke;
  context.lineWidth = width;
  if (dashed) context.setLineDash([4, 3]);
  context.strokeRect(x + width / 2, y + width / 2, Math.max(w - width, 1), Math.max(h - width, 1));
  context.restore();
}

// A path through values(i) for i from first to last, at most a few points per pixel: the extremes of each column.
export function trace(context, values, first, last, x, y) {
  const stride = Math.max(1, Math.floor((last - first) / 1600));
  context.beginPath();
  for (let i = first; i <= last; i += stride) {
    const stop = Math.min(i + stride, last + 1);
    let low = Infinity, high = -Infinity;
    for (let j = i; j < stop; j++) {
      const value = values(j);
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (i === first) context.moveTo(x(i), y(values(i)));
    context.lineTo(x(i), y(high));
    if (stride > 1) context.lineTo(x(i), y(low));
  }
}
