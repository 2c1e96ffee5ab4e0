// ---- what the figures share: position, colouring, what was searched

let axis = totalNs > 0 ? "time" : "steps", colouring = "kind", cursor = peakStep, hovered, chosen = -1, found = null;
const drawn = {buffers: 0, blocks: 0, streams: 0, curve: 0};
const along = (edge) => (axis === "time" ? edges[edge] : edge);
const bufferColour = (b) => (colouring === "block" ? blockColour(b.block) : colourOf(b.kind));

function stepAt(u) {
  let low = 0, high = schedule.length - 1;
  if (axis === "steps") return Math.min(high, Math.max(0, Math.floor(u)));
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (edges[middle] <= u) low = middle;
    else high = middle - 1;
  }
  return low;
}

// Runs of steps with the same value: [{from, to, value}], `to` beyond the last.
function runsOf(value) {
  const runs = [];
  schedule.forEach((s, i) => {
    if (runs.length && runs.at(-1).value === value(s)) runs.at(-1).to = i + 1;
    else runs.push({from: i, to: i + 1, value: value(s)});
  });
  return runs;
}
const phaseRuns = runsOf((s) => s.phase), blockRuns = runsOf((s) => s.block);

// ---- the map of the memory

const mapTop = () => {
  const top = baseBytes + arenaBytes;
  return Math.max(1, memory.budget_bytes <= 1.4 * top ? Math.max(top, memory.budget_bytes) : top) * 1.05;
};

function paintBuffers(plot) {
  const {context} = plot;
  drawn.buffers = 0;
  buffers.forEach((b, i) => {
    const x = plot.x(along(b.begin)), width = Math.max(0.75, plot.x(along(b.end + 1)) - x);
    const y = plot.y(baseBytes + b.offset + b.bytes), height = Math.max(0.75, plot.y(baseBytes + b.offset) - y);
    const colour = bufferColour(b), gap = width > 3 && height > 3 ? 0.5 : 0;
    context.globalAlpha = found && !found.buffers.has(i) ? 0.14 : 1;
    context.fillStyle = colour;
    context.fillRect(x, y, width - gap, height - gap);
    drawn.buffers++;
    if (context.globalAlpha === 1) {
      const left = Math.max(x, plot.inner.left);  // text stays in sight when the box begins left of it
      boxText(context, shortName(b), left, y, Math.min(x + width, plot.width) - left, Math.min(height, 24), colour);
    }
  });
  context.globalAlpha = 1;
  if (!hovered) return;
  const x = plot.x(along(hovered.begin)), y = plot.y(baseBytes + hovered.offset + hovered.bytes);
  context.strokeStyle = theme.ink;
  context.lineWidth = 2;
  context.strokeRect(x, y, Math.max(2, plot.x(along(hovered.end + 1)) - x),
                     Math.max(2, plot.y(baseBytes + hovered.offset) - y));
}

function livePoints(plot) {
  return live.flatMap((bytes, i) => [[plot.x(along(i)), plot.y(baseBytes + bytes)],
                                     [plot.x(along(i + 1)), plot.y(baseBytes + bytes)]]);
}

function paintLines(plot) {
  const {context, inner} = plot, right = inner.left + inner.width, budget = memory.budget_bytes;
  const points = livePoints(plot), middle = (along(cursor) + along(cursor + 1)) / 2;
  line(context, theme.paper, 3, points);
  line(context, theme.ink, 1.2, points);
  line(context, theme.accent, 1.5, [[plot.x(middle), inner.top], [plot.x(middle), inner.top + inner.height]]);
  const peak = plot.x((along(peakStep) + along(peakStep + 1)) / 2), y = plot.y(baseBytes + live[peakStep]);
  context.fillStyle = theme.ink;
  context.beginPath();
  [[peak, y - 2], [peak - 5, y - 10], [peak + 5, y - 10]].forEach(([a, b]) => context.lineTo(a, b));
  context.fill();
  const most = baseBytes + live[peakStep], top = memory.peak_bytes ?? most;
  const [low, high] = [bytesText(most), bytesText(top)];
  const text = `${low === high ? "" : `most live ${low}, `}peak ${high}`;
  const leftward = peak > inner.left + inner.width - 200;
  label(context, text, peak + (leftward ? -9 : 9), y - 8, theme.ink, leftward ? "right" : "left");
  if (!known(budget)) return;
  const at = plot.y(budget), above = budget > plot.full().y1;
  if (!above) line(context, theme.warn, 1.5, [[inner.left, at], [right, at]], [7, 4]);
  label(context, `budget ${bytesText(budget)}${above ? ", above this view" : ""}`, right - 6,
        above ? inner.top + 8 : at - 8, theme.warn, "right");
}

function paintRibbon(plot, runs, y, height, colour, text) {
  const {context, inner} = plot, right = inner.left + inner.width;
  for (const run of runs) {
    const x = Math.max(inner.left, plot.x(along(run.from))), end = Math.min(right, plot.x(along(run.to)));
    if (end <= x) continue;
    context.fillStyle = colour(run.value);
    context.fillRect(x, y, Math.max(0.5, end - x), height);
    boxText(context, text(run.value), x, y, end - x, height, colour(run.value));
  }
}

function paintMap(plot) {
  const {context, inner, view} = plot, right = inner.left + inner.width, bottom = inner.top + inner.height;
  context.clearRect(0, 0, plot.width, plot.height);
  const rows = ticks(view.y0, view.y1, 6, true);
  for (const tick of rows.values) {
    line(context, theme.line, 1, [[inner.left, plot.y(tick.at)], [right, plot.y(tick.at)]]);
    label(context, `${tick.text} ${rows.unit}`, inner.left - 6, plot.y(tick.at), theme.soft, "right");
  }
  context.save();
  context.beginPath();
  context.rect(inner.left, inner.top, inner.width, inner.height);
  context.clip();
  const base = plot.y(baseBytes);
  context.fillStyle = hatch(context, theme.soft);
  context.fillRect(inner.left, base, inner.width, plot.y(0) - base);
  if (plot.y(0) - base > 15) {
    context.fillStyle = theme.paper;
    const others = slices > 1 ? ", other slices" : "";
    context.fillRect(inner.left + 4, base + 2, others ? 310 : 240, 12);
    label(context, `state, loader, snapshot${others}: ${bytesText(baseBytes)}, all step`, inner.left + 6, base + 8,
      theme.ink);
  }
  paintBuffers(plot);
  paintLines(plot);
  context.restore();
  paintRibbon(plot, phaseRuns, bottom + 5, 14, (phase) => colourOf(phase), (phase) => phaseText(phase));
  paintRibbon(plot, blockRuns, bottom + 21, 14, blockColour, blockName);
  label(context, "phase", inner.left - 6, bottom + 12, theme.soft, "right");
  label(context, "block", inner.left - 6, bottom + 28, theme.soft, "right");
  if (axis === "time") timeAxis(plot, view.x0, view.x1);
  else for (const tick of ticks(view.x0, view.x1, inner.width / 110).values)
    if (Number.isInteger(tick.at)) footLabel(plot, `step ${grouped(tick.at)}`, tick.at);
  paintOverview(plot);
}

const phaseText = (phase) => (PHASES.find(([name]) => name === phase) ?? [phase, String(phase ?? "")])[1];

// The live bytes of the whole step, and which part of it the map shows.
function paintOverview(plot) {
  const canvas = byId("overview"), context = canvas.getContext("2d"), scale = window.devicePixelRatio || 1;
  const {left, width} = plot.inner, height = 40, end = along(schedule.length) || 1, most = Math.max(1, live[peakStep]);
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(plot.width * scale);
  canvas.height = height * scale;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  const x = (u) => left + u / end * width, y = (bytes) => height - 2 - bytes / most * (height - 8);
  context.beginPath();
  context.moveTo(x(0), height);
  live.forEach((bytes, i) => {
    context.lineTo(x(along(i)), y(bytes));
    context.lineTo(x(along(i + 1)), y(bytes));
  });
  context.lineTo(x(end), height);
  context.fillStyle = theme.line;
  context.fill();
  context.strokeStyle = theme.accent;
  context.lineWidth = 1.5;
  context.strokeRect(x(plot.view.x0), 1, Math.max(3, x(plot.view.x1) - x(plot.view.x0)), height - 2);
}

// A press on the overview brings that part of the step to the middle.
function overviewPress(event) {
  if (!event.buttons) return;
  const {x0, x1} = map.view, whole = map.full().x1;
  const middle = (event.offsetX - map.inner.left) / map.inner.width * whole;
  map.show({...map.view, x0: middle - (x1 - x0) / 2, x1: middle + (x1 - x0) / 2});
}

function bufferRows(b) {
  const time = timeText((edges[b.end + 1] - edges[b.begin]) / 1e9);
  return [["kind", String(b.kind ?? "")], ["block", blockName(b.block)], ["size", both(b.bytes)],
          ["address", `${grouped(b.offset)} in the arena`],
          ["lives", `steps ${grouped(b.begin)} to ${grouped(b.end)}, ${time}`]];
}

function hoverMap(plot, event) {
  const before = hovered, inside = event && plot.y(baseBytes) > event.offsetY;
  hovered = inside ? bufferAt(stepAt(plot.u(event.offsetX)), plot.v(event.offsetY) - baseBytes) : undefined;
  if (hovered) tip.show(event.clientX, event.clientY, hovered.name, bufferRows(hovered));
  else tip.hide();
  if (before !== hovered) plot.later();
}

// ---- what is live at the chosen step

function liveRow(b) {
  const mark = (item) => () => { hovered = item; map.later(); };
  return el("button", {class: "row", type: "button", title: `${b.name}: ${exact(b.bytes)}`, click: () => showBuffer(b),
                       mouseenter: mark(b), mouseleave: mark(undefined)},
    keySwatch(bufferColour(b)), el("span", {class: "name"}, shortName(b)),
    el("span", {class: "value"}, bytesText(b.bytes)));
}

function liveShow() {
  const s = schedule[cursor], items = liveAt(cursor), sums = new Map(), most = 200;
  const turn = (sign, name, by) =>
    el("button", {type: "button", "aria-label": name, click: () => select(cursor + by)}, sign);
  for (const b of items) sums.set(kindKey(b.kind), (sums.get(kindKey(b.kind)) ?? 0) + b.bytes);
  byId("live").replaceChildren(
    el("div", {class: "tools", style: "margin:0;gap:6px;flex-wrap:nowrap"},
      el("h3", {style: "margin-right:auto"}, cursor === peakStep ? "At the peak" : `Step ${grouped(cursor)}`),
      turn("‹", "step before", -1), turn("›", "step after", 1)),
    facts([["step", `${grouped(cursor)} of ${grouped(schedule.length)}, ${phaseText(s.phase)}`],
           [String(s.kind ?? "run"), el("span", {title: s.name}, `${s.op ?? ""} ${shortName(s)}`)],
           ["live", el("span", null, bytesShown(live[cursor]), ` in ${plural(items.length, "buffer")}`)]]),
    stackedBar("live bytes by kind",
      [...sums].map(([kind, bytes]) => ({name: kind, bytes, colour: colourOf(kind)})), live[cursor]),
    el("div", {class: "list"}, items.slice(0, most).map(liveRow),
      items.length > most ? el("p", {class: "note"}, `and ${grouped(items.length - most)} smaller`) : null));
}

function select(at) {
  cursor = Math.min(schedule.length - 1, Math.max(0, at));
  const {x0, x1} = map.view, middle = (along(cursor) + along(cursor + 1)) / 2;
  if (middle < x0 || middle > x1) map.show({...map.view, x0: middle - (x1 - x0) / 2, x1: middle + (x1 - x0) / 2});
  liveShow();
  map.later();
}

function showBuffer(b) {
  const x0 = along(b.begin), x1 = along(b.end + 1), y0 = baseBytes + b.offset, width = x1 - x0, height = b.bytes;
  map.show({x0: x0 - width * 0.6, x1: x1 + width * 0.6, y0: y0 - height * 1.2, y1: y0 + height * 2.2});
  select(b.begin <= cursor && cursor <= b.end ? cursor : b.begin);
}

function axisSet(name) {
  const first = stepAt(map.view.x0), last = Math.max(first, stepAt(map.view.x1 * (1 - 1e-12)));
  const whole = map.view.x1 - map.view.x0 >= map.full().x1;
  axis = name;
  map.show({...map.view, x0: whole ? 0 : along(first), x1: along(whole ? schedule.length : last + 1)});
}

// ---- controls

function choice(name, options, initial, change) {
  const press = (value) => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i][0] === value)));
    change(value);
  };
  const buttons = options.map(([value, text]) =>
    el("button", {type: "button", "aria-pressed": String(value === initial), click: () => press(value)}, text));
  return el("span", {class: "choice", role: "group", "aria-label": name}, el("span", {class: "soft"}, name), buttons);
}

function zoomButtons(plot) {
  const button = (text, name, action) => el("button", {type: "button", "aria-label": name, click: action}, text);
  return el("span", {class: "choice"}, button("−", "zoom out", () => plot.zoom(1 / 0.6)),
    button("+", "zoom in", () => plot.zoom(0.6)), button("‹", "move left", () => plot.pan(-0.3, 0)),
    button("›", "move right", () => plot.pan(0.3, 0)), button("All", "show all", () => plot.all()));
}

function legendMap() {
  const kinds = new Set(buffers.map((b) => kindKey(b.kind)));
  const byKind = [...kinds].sort().map((kind) => legendItem(colourOf(kind), String(kind ?? "unknown")));
  const used = [...new Set(buffers.map((b) => b.block))].filter((index) => blocks[index]).sort((a, b) => a - b);
  const byBlock = el("span", null, blockName(used[0]), el("span", {style: "gap:0"}, used.map((index) =>
    el("span", {class: "key", style: `border-radius:0;background:${blockColour(index)}`, title: blockName(index)}))),
    blockName(used.at(-1)));
  byId("map-legend").replaceChildren(...(colouring === "kind" ? byKind : [byBlock]));
}

function mapStart() {
  if (!schedule.length || !buffers.length) {
    byId("memory").replaceChildren(el("h2", null, "Memory over the step"),
      el("p", {class: "note"}, "This plan holds no buffers."));
    return undefined;
  }
  if (plan.unplaced)
    byId("map-note").append(` Not shown, for want of an address or steps: ${plural(plan.unplaced, "buffer")}.`);
  byId("overview").addEventListener("pointerdown", overviewPress);
  byId("overview").addEventListener("pointermove", overviewPress);
  if (step.micro_steps > 1)
    byId("map-note").append(` Shown is one of ${grouped(step.micro_steps)} micro-steps, then the update.`);
  if (slices > 1)
    byId("map-note").append(` Shown is the arena of one of ${grouped(slices)} slices, which take turns.`);
  byId("map").setAttribute("aria-label", `map of ${plural(buffers.length, "buffer")} over ` +
    `${plural(schedule.length, "step")}; the peak of ${bytesText(baseBytes + live[peakStep])} is at step ${peakStep}`);
  return new Plot(byId("map"), {
    height: 500, margin: {left: 68, right: 10, top: 8, bottom: 58}, paint: paintMap, hover: hoverMap,
    full: () => ({x0: 0, x1: along(schedule.length) || 1, y0: 0, y1: mapTop()}), click: (u) => select(stepAt(u)),
    keys: {p: () => select(peakStep), ",": () => select(cursor - 1), ".": () => select(cursor + 1)},
  });
}
