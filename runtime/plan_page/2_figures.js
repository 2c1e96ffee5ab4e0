"use strict";

// ---- elements and figures

const byId = (id) => document.getElementById(id);

// A node with attributes (functions become listeners) and children; strings become text, whatever they hold.
function el(tag, attributes, ...children) {
  const svg = tag.startsWith("svg:");
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4)) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.flat(2).filter((child) => child !== undefined && child !== null));
  return node;
}

const known = (value) => typeof value === "number" && Number.isFinite(value);
const grouped = (value) => Math.round(value).toFixed(0).replace(/\B(?=(\d{3})+$)/g, ",");
const exact = (bytes) => (known(bytes) ? `${grouped(bytes)} bytes` : "");
const plural = (count, noun) => `${grouped(count)} ${noun}${count === 1 ? "" : "s"}`;
const percent = (share) =>
  !known(share) ? "–" : share === 0 ? "0 %" : `${(100 * share).toFixed(Math.abs(share) < 0.1 ? 2 : 1)} %`;
const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

function scaled(value, base, units) {
  let unit = 0;
  for (; Math.abs(value) >= base && unit < units.length - 1; unit++) value /= base;
  const digits = unit === 0 && Number.isInteger(value) ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

const bytesText = (bytes) => (known(bytes) ? scaled(bytes, 1024, BYTE_UNITS) : "–");
const COUNT_UNITS = ["", "thousand", "million", "billion"];
const countText = (count) => (known(count) ? scaled(count, 1000, COUNT_UNITS).trim() : "–");
const rateText = (rate, unit) => (known(rate) ? scaled(rate, 1000, ["", "k", "M", "G", "T", "P"]) + unit : "–");

function timeText(seconds) {
  if (!known(seconds)) return "–";
  if (seconds === 0) return "0 s";
  const [factor, unit] =
    seconds >= 1 ? [1, "s"] : seconds >= 1e-3 ? [1e3, "ms"] : seconds >= 1e-6 ? [1e6, "µs"] : [1e9, "ns"];
  const value = seconds * factor;
  return `${value.toFixed(unit === "ns" ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`;
}

const bytesShown = (bytes) => el("span", {title: exact(bytes)}, bytesText(bytes));
const both = (bytes) => (known(bytes) ? `${bytesText(bytes)}, ${exact(bytes)}` : undefined);

// Rows of [name, value] as a list; without the rows that have no value.
function facts(rows) {
  const told = rows.filter(([, value]) => value !== undefined && value !== "" && value !== "–");
  return el("dl", null, told.map(([name, value]) => [el("dt", null, name), el("dd", null, value)]));
}

// ---- the plan, with every absent key filled in

function planRead(raw) {
  const plan = raw && typeof raw === "object" ? raw : {};
  const list = (value) => (Array.isArray(value) ? value.filter((item) => item && typeof item === "object") : []);
  const named = (items) => items.map((item) => ({...item, name: String(item.name ?? ""), block: item.block ?? -1}));
  const part = (name) => (plan[name] && typeof plan[name] === "object" ? plan[name] : {});
  const checkpoint = part("checkpoint");
  // A block tells its stage, or its name does.
  const staged = (b) => ({...b, stage: b.stage ?? /^block(\d+)-/.exec(b.name)?.[1] ?? b.name});
  const schedule = named(list(plan.schedule));
  const last = schedule.length - 1;
  const placed = (b) => known(b.bytes) && known(b.offset) && known(b.begin) && b.end >= b.begin && b.end <= last;
  const every = named(list(plan.buffers)), shown = every.filter(placed);
  return {
    model: part("model"), machine: part("machine"), step: part("step"), memory: part("memory"), shard: part("shard"),
    simulation: part("simulation"),
    checkpoint, schedule, blocks: named(list(checkpoint.blocks)).map(staged),
    curve: list(checkpoint.curve).filter(curvePoint), operations: list(plan.operations), streams: list(plan.streams),
    buffers: shown, unplaced: every.length - shown.length,
  };
}

function curvePoint(point) {
  return known(point.budget_bytes) && known(point.time_seconds);
}

const plan = planRead(PLAN);
const {model, machine, step, memory, checkpoint, schedule, blocks, buffers} = plan;

// When each step begins, never falling, with the end of the last behind. Steps of other streams take no time of the
// computation: they begin with the next step that does.
function edgesMake() {
  const edges = new Array(schedule.length + 1);
  let clock = 0, end = 0;
  const starts = schedule.map((s) => {
    const start = known(s.start_ns) ? s.start_ns : clock;
    const time = known(s.time_ns) ? s.time_ns : 0;
    if (isRun(s)) clock = start + time;
    end = Math.max(end, start + time);
    return isRun(s) ? start : undefined;
  });
  edges[schedule.length] = end;
  for (let i = schedule.length - 1; i >= 0; i--) edges[i] = Math.min(starts[i] ?? edges[i + 1], edges[i + 1]);
  return edges;
}

function isRun(s) {
  return s.kind === undefined || s.kind === "run";
}

const edges = edgesMake();
const totalNs = edges[schedule.length] || 0;
const live = schedule.map((s) => (known(s.live_bytes) ? s.live_bytes : 0));
const peakStep = live.reduce((best, bytes, i) => (bytes > live[best] ? i : best), 0);
// Slices have an arena each; one of them is drawn.
const slices = step.slices > 1 ? step.slices : 1;
const arenaBytes = buffers.reduce((top, b) => Math.max(top, b.offset + b.bytes), (memory.arena_bytes || 0) / slices);
// What lies under the arena all step long: state, loader, the copy for snapshots, other slices' arenas.
const baseBytes = Math.max(0, (memory.peak_bytes ?? arenaBytes) - (memory.arena_bytes ?? arenaBytes) / slices);

const liveAt = (at) => buffers.filter((b) => b.begin <= at && at <= b.end).sort((a, b) => b.bytes - a.bytes);
const bufferAt = (at, offset) =>
  buffers.find((b) => b.begin <= at && at <= b.end && b.offset <= offset && offset < b.offset + b.bytes);
const blockName = (index) => blocks[index]?.name ?? "";

// A name from its block on: what comes before tells nothing more.
function shortName(item) {
  const at = blockName(item.block) ? item.name.indexOf(blockName(item.block)) : -1;
  return at > 0 ? item.name.slice(at) : item.name;
}

// ---- colours: Paul Tol's bright scheme, told apart with every kind of colour vision. What belongs together has one
// colour everywhere: forward and activations, backward and gradients, network and gathered parameters.

const COLOURS = {
  activation: "#4477aa", gradient: "#ee6677", gathered: "#228833", update: "#aa3377", workspace: "#a9adb5",
  statistics: "#ccbb44", forward: "#4477aa", reforward: "#ccbb44", backward: "#ee6677", network: "#228833",
  sent: "#b8860b", message: "#8f7fbf", host: "#66ccee", parameters: "#66ccee", velocities: "#8f7fbf",
  loader: "#7c8696", snapshot: "#b08968", other: "#7c8696",
};
const PHASES = [["forward", "forward"], ["reforward", "forward again"], ["backward", "backward"], ["update", "update"]];
const kindKey = (kind) => (kind === "activations" ? "activation" : kind === "gradients" ? "gradient" : kind);
const colourOf = (kind) => (Object.hasOwn(COLOURS, kindKey(kind)) ? COLOURS[kindKey(kind)] : COLOURS.other);
const RAMP = [[75, 80, 160], [44, 120, 142], [38, 165, 132], [122, 200, 90], [214, 210, 70]];  // after viridis
const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const hexOf = (rgb) => "#" + rgb.map((c) => Math.round(c).toString(16).padStart(2, "0")).join("");
const mixed = (a, b, share) => a.map((c, i) => c + (b[i] - c) * share);

function ramp(share) {
  const at = Math.min(1, Math.max(0, share)) * (RAMP.length - 1), low = Math.min(Math.floor(at), RAMP.length - 2);
  return mixed(RAMP[low], RAMP[low + 1], at - low);
}

// Neighbours differ in lightness, so that their seam shows.
function blockColour(index) {
  if (!blocks[index]) return COLOURS.other;
  const rgb = ramp(index / Math.max(1, blocks.length - 1));
  return hexOf(index % 2 ? mixed(rgb, [255, 255, 255], 0.28) : rgb);
}

function inkOn(hex) {
  const [r, g, b] = channels(hex);
  return 0.299 * r + 0.587 * g + 0.114 * b > 125 ? "#10151f" : "#ffffff";
}

const theme = {};
function themeRead() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ink", "soft", "line", "paper", "wash", "accent", "warn"])
    theme[name] = style.getPropertyValue("--" + name).trim();
}

// A stacked bar; parts: [{name, bytes, colour}], their lengths against `whole`.
function stackedBar(name, parts, whole) {
  return el("div", {class: "bar", role: "img", "aria-label": name}, parts.map((part) => el("i", {
    title: `${part.name}: ${exact(part.bytes)}`,
    style: `width:${100 * part.bytes / Math.max(1, whole)}%;background:${part.colour}`,
  })));
}

const meterBar = (share, colour) => el("div", {class: "bar"},
  el("i", {style: `width:${Math.min(100, 100 * share || 0)}%;background:${colour};border:0`}));
const keySwatch = (colour) => el("span", {class: "key", style: `background:${colour}`});
const legendItem = (colour, text) => el("span", null, keySwatch(colour), text);

// Modes from what keeps least to what keeps most, by their mean share of the most that a block can keep.
const modeShares = new Map();
for (const block of blocks) {
  const rows = [...(Array.isArray(block.modes) ? block.modes : []), {name: block.mode, saved_bytes: block.saved_bytes}];
  const most = Math.max(1, ...rows.map((row) => row?.saved_bytes || 0));
  for (const row of rows) {
    const share = modeShares.get(String(row?.name ?? "")) ?? {sum: 0, count: 0};
    modeShares.set(String(row?.name ?? ""), {sum: share.sum + (row?.saved_bytes || 0) / most, count: share.count + 1});
  }
}
const modeNames = [...modeShares.keys()].sort(
  (a, b) => modeShares.get(b).sum / modeShares.get(b).count - modeShares.get(a).sum / modeShares.get(a).count);
const modeColour = (mode) => hexOf(ramp(modeNames.indexOf(String(mode ?? "")) / Math.max(1, modeNames.length - 1)));

// ---- hover text

const tip = {
  node: byId("tip"),
  show(x, y, title, rows) {
    this.node.replaceChildren(el("b", null, title), facts(rows));
    this.node.hidden = false;
    const {width, height} = this.node.getBoundingClientRect();
    this.node.style.left = `${Math.max(4, x + 16 + width > innerWidth ? x - width - 12 : x + 16)}px`;
    this.node.style.top = `${Math.max(4, y + 14 + height > innerHeight ? y - height - 10 : y + 14)}px`;
  },
  hide() { this.node.hidden = true; },
};
