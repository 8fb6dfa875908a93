// Numbers and times as text. Every number on the page goes through here, so that units and digits agree.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const exact = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });

export const count = (value) => whole.format(value);
export const amount = (value) => exact.format(value);
export const seconds = (value) => `${whole.format(value)} s`;
export const percent = (share) => `${Math.round(100 * share)}%`;
export const plural = (number, noun) => `${amount(number)} ${noun}${number === 1 ? "" : "s"}`;

const two = (value) => String(value).padStart(2, "0");

// "2 d 04:13:22", for a point in time since the first arrival.
export function clock(time) {
  const s = Math.floor(Math.max(0, time));
  return `${count(Math.floor(s / 86400))} d ${two(Math.floor(s / 3600) % 24)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

// "48 s", "12 min", "3.2 h", "5.1 d": short, for columns.
export function duration(value) {
  if (value === Infinity) return "∞";
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (value >= (unit === "min" ? size : 1.5 * size)) return `${(value / size).toFixed(value < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${whole.format(value)} s`;
}
