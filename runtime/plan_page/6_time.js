
// ---- the streams: block operations, computation, network, host copies

const STREAM = {left: 74, top: 8, gap: 12};
const tallest = Math.min(14, Math.max(1.5, 220 / Math.max(1, blocks.length)));
const spans = [], waits = [], lanes = [];

const timed = (item) => known(item.start_ns) && known(item.time_ns);

function spanAdd(lane, item, colour, title, rows, more = {}) {
  const from = item.start_ns, to = from + item.time_ns;
  spans.push({lane, from, to, colour, title, rows, block: item.block, ...more});
}

// One row of `height` pixels a lane, under the one before.
function laneAdd(name, height) {
  const last = lanes.at(-1);
  lanes.push({name, y: last ? last.y + last.height + STREAM.gap : STREAM.top, height});
  return lanes.length - 1;
}

function operationsAdd() {
  const items = plan.operations.filter((op) => timed(op) && blocks[op.block]), seen = new Set();
  if (!items.length) return;
  const lane = laneAdd("", blocks.length * tallest);
  for (const op of items) {
    const again = op.kind !== "backward" && seen.has(op.block);
    seen.add(op.block);
    const phase = op.kind === "backward" ? "backward" : again ? "reforward" : "forward";
    const what = op.kind === "save" ? "forward that saves" : op.kind === "forward" ? "forward only" : String(op.kind);
    const rows = [["operation", what + (again ? ", again" : "")], ["way to save", String(op.mode ?? "")],
                  ["memory", both(op.memory_bytes)]];
    spanAdd(lane, op, COLOURS[phase], blockName(op.block), rows, {row: op.block, pale: op.kind === "forward"});
  }
}

function computationAdd() {
  const items = schedule.map((s, i) => ({...s, step: i, start_ns: edges[i],
    time_ns: known(s.time_ns) ? s.time_ns : edges[i + 1] - edges[i]})).filter(isRun);
  if (!items.length) return;
  const lane = laneAdd("compute", 24);
  let end = 0;
  for (const s of items) {
    if (s.start_ns > end) waits.push({lane, from: end, to: s.start_ns});
    end = Math.max(end, s.start_ns + s.time_ns);
    spanAdd(lane, s, colourOf(s.phase), `${s.op ?? ""} ${s.name}`, [["phase", phaseText(s.phase)],
      ["block", blockName(s.block)], ["step", grouped(s.step)]], {step: s.step, text: shortName(s)});
  }
  if (totalNs > end) waits.push({lane, from: end, to: totalNs});
}

const colourOfTraffic = (label, colour) => (/^(gradients|reduce)/.test(label) ? COLOURS.sent : colour);

function copiesAdd(stream, kinds, name, colour, height) {
  let items = plan.streams.filter((s) => s.stream === stream && timed(s));
  if (!items.length) {
    const own = schedule.filter((s) => kinds.includes(s.kind) && timed(s));
    items = own.map((s) => ({...s, label: `${s.kind} ${s.name}`}));
  }
  if (!items.length) return;
  const lane = laneAdd(name, height);
  for (const s of items) {
    const label = String(s.label ?? name), among = s.ranks > 1 ? [["among", plural(s.ranks, "rank")]] : [];
    const often = s.times > 1 ? [["messages", grouped(s.times)]] : [];
    const bytes = known(s.bytes) ? [[s.ranks > 1 ? "sent by each" : "copied", both(Math.round(s.bytes))]] : [];
    const rows = [["block", blockName(s.block)], ...among, ...often, ...bytes];
    spanAdd(lane, s, colourOfTraffic(label, colour), label, rows, {text: label});
  }
}

function spanBox(plot, span) {
  const lane = lanes[span.lane], x = plot.x(span.from), width = Math.max(0.6, plot.x(span.to) - x);
  return span.row === undefined ? [x, lane.y, width, lane.height]
    : [x, lane.y + span.row * tallest, width, Math.max(1, tallest - 0.5)];
}

// Stages beside the rows of their blocks, where there is room.
function paintStages(plot, top) {
  const {context, inner} = plot;
  let last = -Infinity;
  for (const run of stageRuns()) {
    const edge = top + run.from * tallest, y = Math.max(edge + 6, top + (run.from + run.to) / 2 * tallest);
    if (run.from) line(context, theme.paper, 1, [[inner.left, edge], [inner.left + inner.width, edge]]);
    if (y < last + 12) continue;
    label(context, stageText(run.stage ?? blockName(run.from)), inner.left - 8, y, theme.soft, "right");
    last = y;
  }
}

function paintStreams(plot) {
  const {context, inner} = plot, right = inner.left + inner.width;
  context.clearRect(0, 0, plot.width, plot.height);
  for (const lane of lanes) {
    context.fillStyle = theme.wash;
    context.fillRect(inner.left, lane.y, inner.width, lane.height);
    if (lane.name) label(context, lane.name, inner.left - 8, lane.y + lane.height / 2, theme.soft, "right");
  }
  if (lanes[0].name === "") paintStages(plot, lanes[0].y);
  context.save();
  context.beginPath();
  context.rect(inner.left, 0, inner.width, plot.height);
  context.clip();
  drawn.streams = 0;
  for (const span of spans) {
    const [x, y, width, height] = spanBox(plot, span), left = Math.max(x, inner.left);
    const lit = !found || found.blocks.has(span.block) || found.steps.has(span.step);
    context.globalAlpha = lit ? (span.pale ? 0.45 : 1) : 0.12;
    context.fillStyle = span.colour;
    context.fillRect(x, y, width - (width > 4 ? 0.6 : 0), height);
    drawn.streams++;
    if (span.text && lit) boxText(context, span.text, left, y, Math.min(right, x + width) - left, height, span.colour);
  }
  context.globalAlpha = 1;
  const stripes = hatch(context, theme.warn);
  for (const wait of waits) {
    const lane = lanes[wait.lane], x = plot.x(wait.from), width = plot.x(wait.to) - x;
    context.fillStyle = stripes;
    context.fillRect(x, lane.y - 3, Math.max(0.8, width), lane.height + 6);
  }
  context.restore();
  timeAxis(plot, plot.view.x0, plot.view.x1);
}

function spanAt(plot, x, y) {
  const inside = (span) => {
    const [left, top, width, height] = spanBox(plot, span);
    return x >= left && x < left + Math.max(width, 1.5) && y >= top && y <= top + height;
  };
  return spans.findLast(inside);
}

function hoverStreams(plot, event) {
  if (!event) return;
  const span = spanAt(plot, event.offsetX, event.offsetY), at = plot.u(event.offsetX);
  const beside = ({y, height}) => y - 3 <= event.offsetY && event.offsetY <= y + height + 3;
  const wait = span ? undefined : waits.find((w) => w.from <= at && at < w.to && beside(lanes[w.lane]));
  const item = span ?? (wait && {title: "the computation waits", rows: [["for", "the network or a copy"]], ...wait});
  if (!item) tip.hide();
  else tip.show(event.clientX, event.clientY, item.title, [...item.rows, ["begins", timeText(item.from / 1e9)],
    ["takes", timeText((item.to - item.from) / 1e9)]]);
}

function metersShow() {
  const whole = step.time_seconds / (step.micro_steps || 1);
  const rows = [["computation", step.compute_seconds, COLOURS.forward],
    ["of it forward again", step.recompute_seconds, COLOURS.reforward],
    ["update", step.update_seconds, COLOURS.update],
    ["network busy", step.network_seconds, COLOURS.network], ["host copies", step.host_copy_seconds, COLOURS.host],
    ["exposed communication", step.exposed_communication_seconds, "var(--warn)"]].filter((row) => row[1] > 0);
  byId("meters").replaceChildren(...rows.flatMap(([name, seconds, colour]) => [el("span", null, name),
    meterBar(seconds / whole, colour),
    el("span", {class: "number", title: `${seconds} s`}, `${timeText(seconds)} · ${percent(seconds / whole)}`),
  ]));
}

function streamsStart() {
  metersShow();
  operationsAdd();
  computationAdd();
  copiesAdd("network", ["gather", "reduce"], "network", COLOURS.network, 18);
  copiesAdd("statistics", [], "messages", COLOURS.message, 12);
  copiesAdd("to_host", ["offload"], "to the host", COLOURS.host, 12);
  copiesAdd("from_host", ["fetch"], "from it", COLOURS.host, 12);
  if (!spans.length || !totalNs) {
    byId("streams").replaceWith(el("p", {class: "note"}, "This plan holds no schedule."));
    return undefined;
  }
  const pale = `color-mix(in srgb,${COLOURS.forward} 45%,transparent)`;
  const stripes = "repeating-linear-gradient(135deg,var(--warn) 0 1px,transparent 1px 4px)";
  const used = new Set(spans.map((span) => span.colour));
  const items = [...PHASES.map(([name, text]) => [COLOURS[name], text]), [COLOURS.network, "parameters come"],
                 [COLOURS.sent, "gradients go"], [COLOURS.message, "messages among ranks"],
                 [COLOURS.host, "host copy"]].filter(([colour]) => used.has(colour));
  if (spans.some((span) => span.pale)) items.push([pale, "pale: forward that saves nothing"]);
  if (waits.length) items.push([stripes, "the computation waits"]);
  byId("stream-legend").replaceChildren(...items.map(([colour, text]) => legendItem(colour, text)));
  byId("streams").setAttribute("aria-label", `timeline of ${plural(spans.length, "operation")}`);
  const last = lanes.at(-1);
  const plot = new Plot(byId("streams"), {height: last.y + last.height + 26, flat: true, paint: paintStreams,
    margin: {left: STREAM.left, right: 10, top: 0, bottom: 22}, hover: hoverStreams,
    full: () => ({x0: 0, x1: totalNs, y0: 0, y1: 1})});
  byId("stream-tools").append(zoomButtons(plot));
  return plot;
}
