
// ---- the chain of blocks: what each keeps, and what happens to its parameters

const RESIDENCIES = {gather: "gathered again for the backward", node_share: "the node's share stays",
                     keep: "kept until the backward"};
const CHAIN = {left: 74, top: 16, bars: 200, row: 20};

// An empty, half or full circle: how much of the parameters stays between forward and backward.
function residencyMark(residency, x, y) {
  const full = residency === "keep", half = residency === "node_share";
  return el("svg:g", {transform: `translate(${x},${y})`},
    el("svg:circle", {r: 4.5, fill: full ? "currentColor" : "none", stroke: "currentColor", "stroke-width": 1.3}),
    half ? el("svg:path", {d: "M0-4.5A4.5 4.5 0 0 0 0 4.5Z", fill: "currentColor"}) : null);
}

const offloadMark = (x, y) => el("svg:path", {transform: `translate(${x},${y})`, d: "M0-5L5 1H2V5H-2V1H-5Z",
                                              fill: COLOURS.host, stroke: "currentColor", "stroke-width": 0.7});
const mostMark = () => el("svg:rect", {x: -6, y: -6, width: 12, height: 12, fill: "none", stroke: "currentColor",
                                       "stroke-dasharray": "2 3"});
const legendMark = (mark, text) => el("span", null, el("svg:svg", {viewBox: "-7 -7 14 14"}, mark), text);
const reruns = (block) => Number(block.recomputed) || 0;
const modesOf = (block) => (Array.isArray(block.modes) ? block.modes.filter((row) => row) : []);
const mostSaved = (block) => Math.max(block.saved_bytes || 0, ...modesOf(block).map((row) => row.saved_bytes || 0));
const slotName = (block) => block.name.replace(/^block(?=\d)/, "");
const stageText = (stage) => (/^\d+$/.test(String(stage)) ? `stage ${stage}` : String(stage ?? ""));
const residencyText = (residency) =>
  residency === undefined ? "" : Object.hasOwn(RESIDENCIES, residency) ? RESIDENCIES[residency] : String(residency);

function chainRows() {
  const rows = [];
  const again = (b, x, y) => el("svg:text", {x, y: y + 4, "text-anchor": "middle", class: reruns(b) ? "strong" : ""},
    reruns(b) ? `${reruns(b)}×` : "·");
  if (blocks.some((b) => b.recomputed !== undefined)) rows.push(["run again", again]);
  if (blocks.some((b) => b.residency)) rows.push(["parameters", (b, x, y) => residencyMark(b.residency, x, y)]);
  if (blocks.some((b) => b.offload)) rows.push(["to the host", (b, x, y) => (b.offload ? offloadMark(x, y) : null)]);
  return rows;
}

function stageRuns() {
  const runs = [];
  blocks.forEach((b, i) => {
    if (runs.length && runs.at(-1).stage === b.stage) runs.at(-1).to = i + 1;
    else runs.push({stage: b.stage, from: i, to: i + 1});
  });
  return runs;
}

function blockColumn(index, frame) {
  const b = blocks[index], {slot, y, foot, names, rows} = frame, x = CHAIN.left + index * slot, middle = x + slot / 2;
  const width = Math.max(2, slot - 4), most = y(mostSaved(b));
  const text = frame.upright
    ? el("svg:text", {transform: `translate(${middle + 4},${foot + 6}) rotate(-90)`, "text-anchor": "end"}, slotName(b))
    : el("svg:text", {x: middle, y: foot + 14, "text-anchor": "middle"}, slotName(b));
  return el("svg:g", {
      role: "button", tabindex: index === Math.max(0, chosen) ? 0 : -1, "aria-pressed": String(index === chosen),
      "aria-label": `${b.name}, ${b.mode ?? ""}, keeps ${bytesText(b.saved_bytes)}`, style: "cursor:pointer",
      opacity: found && !found.blocks.has(index) ? 0.25 : 1,
      click: () => blockFocus(index), keydown: (event) => chainKey(event, index), pointerleave: () => tip.hide(),
      pointermove: (event) => tip.show(event.clientX, event.clientY, b.name, blockLines(b)),
    },
    el("svg:rect", {x, y: CHAIN.top, width: slot, height: foot + names + rows * CHAIN.row - CHAIN.top, rx: 4,
      fill: index === chosen ? "var(--wash)" : "transparent"}),
    el("svg:rect", {x: x + 2.5, y: most, width: width - 1, height: Math.max(0, foot - most), fill: "none",
      stroke: "var(--soft)", "stroke-opacity": 0.5, "stroke-dasharray": "2 3"}),
    el("svg:rect", {x: x + 2, y: y(b.saved_bytes || 0), width, height: Math.max(1, foot - y(b.saved_bytes || 0)),
      fill: modeColour(b.mode)}),
    text, chainRows().map(([, mark], row) => mark(b, middle, foot + names + row * CHAIN.row + CHAIN.row / 2)));
}

function chainShow() {
  const host = byId("chain"), most = Math.max(1, ...blocks.map(mostSaved)), rows = chainRows();
  const width = Math.max(host.clientWidth, CHAIN.left + 6 + blocks.length * 14);
  const slot = (width - CHAIN.left - 6) / blocks.length, foot = CHAIN.top + CHAIN.bars;
  const longest = Math.max(...blocks.map((b) => slotName(b).length)) * 6.4 + 4;
  const upright = longest > slot, names = upright ? Math.min(90, longest) + 10 : 22;
  const y = (bytes) => foot - bytes / most * CHAIN.bars, stages = foot + names + rows.length * CHAIN.row + 8;
  const scale = ticks(0, most, 4, true), height = stages + 22;
  const soft = (x, at, anchor, text) => el("svg:text", {x, y: at, "text-anchor": anchor}, text);
  host.replaceChildren(el("svg:svg", {viewBox: `0 0 ${width} ${height}`, style: `min-width:${Math.floor(width)}px`,
      role: "group", "aria-label": "blocks in the order of the network; arrows move, enter chooses"},
    scale.values.map((tick) => [el("svg:path", {d: `M${CHAIN.left} ${y(tick.at)}H${width - 4}`, stroke: "var(--line)"}),
      soft(CHAIN.left - 6, y(tick.at) + 4, "end", `${tick.text} ${scale.unit}`)]),
    rows.map(([name], row) => soft(CHAIN.left - 6, foot + names + row * CHAIN.row + 14, "end", name)),
    blocks.map((b, i) => blockColumn(i, {slot, y, foot, names, upright, rows: rows.length})),
    stageRuns().filter((run) => run.stage !== undefined).map((run) => {
      const x0 = CHAIN.left + run.from * slot + 3, x1 = CHAIN.left + run.to * slot - 3, text = stageText(run.stage);
      const shown = [text, String(run.stage), ""].find((words) => words.length * 6.4 < x1 - x0);
      return [el("svg:path", {d: `M${x0} ${stages}H${x1}`, stroke: "var(--soft)", "stroke-width": 1.5}),
        soft((x0 + x1) / 2, stages + 15, "middle", shown)];
    })));
  drawn.blocks = blocks.length;
}

const blockLines = (b) => [["way to save", String(b.mode ?? "")], ["keeps", both(b.saved_bytes)],
  ["run again", b.recomputed === undefined ? "" : reruns(b) ? plural(reruns(b), "time") : "no"],
  ["parameters", residencyText(b.residency)], ["host", b.offload ? "the saved set is copied out and back" : ""]];

function chainKey(event, index) {
  const to = {ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: blocks.length - 1, Enter: index, " ": index};
  if (!Object.hasOwn(to, event.key)) return;
  event.preventDefault();
  blockFocus(Math.min(blocks.length - 1, Math.max(0, to[event.key])));
}

// The figure is drawn anew, so the focus has to be given to the new column.
function blockFocus(index) {
  blockSelect(index);
  byId("chain").querySelector("[aria-pressed=true]")?.focus();
}

function blockSelect(index) {
  chosen = index;
  chainShow();
  const b = blocks[index], modes = modesOf(b);
  const mode = (row) => {
    const name = el("span", {class: "row", title: String(row.name ?? ""), style: "padding:0"},
      keySwatch(modeColour(row.name)), el("span", {class: "name"}, String(row.name ?? "")));
    const cells = [name, bytesShown(row.saved_bytes), timeText(row.forward_seconds), timeText(row.backward_seconds)];
    return {cells, chosen: row.name === b.mode};
  };
  byId("block").replaceChildren(
    el("h3", null, b.name), el("p", {class: "note", style: "margin:0"}, stageText(b.stage)),
    facts([...blockLines(b), ["forward", timeText(b.forward_seconds)], ["backward", timeText(b.backward_seconds)]]),
    modes.length ? table(["way to save", "#keeps", "#forward", "#backward"], modes.map(mode), "modes") : "",
    el("p", {class: "screen"}, el("button", {type: "button", click: () => searchFor(b.name)}, "Find it everywhere")));
}

// How good the placement is, and how that is known.
function proofText() {
  const {cost_seconds: cost, lower_bound_seconds: bound, gap, proof, placement} = checkpoint;
  const least = known(bound) ? `; no schedule at all can take less than ${timeText(bound)}` : "";
  const apart = known(gap) ? `, a gap of ${percent(gap)}` : "";
  return [placement ? `Placement: ${placement}.` : "",
          known(cost) ? `The blocks take ${timeText(cost)}${least}${apart}.` : "",
          checkpoint.optimal_in_class === true ? "Optimal in its class." : "",
          proof ? `Proof: ${proof}.` : ""].filter(Boolean).join(" ");
}

function checkpointsStart() {
  if (!blocks.length) {
    byId("chain").replaceChildren(el("p", {class: "note"}, "This plan tells no blocks."));
    return;
  }
  const used = new Set(blocks.map((b) => String(b.mode ?? "")));
  byId("chain-legend").replaceChildren(
    ...modeNames.filter((name) => used.has(name)).map((name) => legendItem(modeColour(name), `keeps: ${name}`)),
    blocks.some((b) => modesOf(b).length) ? legendMark(mostMark(), "the most it could keep") : "",
    ...Object.entries(RESIDENCIES).filter(([name]) => blocks.some((b) => b.residency === name))
      .map(([name, text]) => legendMark(residencyMark(name, 0, 0), `parameters: ${text}`)),
    blocks.some((b) => b.offload) ? legendMark(offloadMark(0, 0), "saved set copied to the host") : "");
  const saved = blocks.map((b) => b.saved_bytes || 0);
  blockSelect(saved.indexOf(Math.max(...saved)));
}

// ---- the step's time at each budget

const curve = plan.curve.sort((a, b) => a.budget_bytes - b.budget_bytes);

function curveFrame(width) {
  const inside = {left: 62, right: 16, top: 26, bottom: 40}, height = 330, minimum = memory.minimum_budget_bytes;
  const own = {budget_bytes: memory.budget_bytes, peak_bytes: memory.peak_bytes, time_seconds: step.time_seconds};
  const here = curve.find((point) => point.budget_bytes === memory.budget_bytes) ?? (curvePoint(own) ? own : undefined);
  const all = here ? [...curve, here] : curve, times = all.map((p) => p.time_seconds);
  const budgets = [...all.map((p) => p.budget_bytes), minimum].filter(known);
  const low = Math.min(...budgets), high = Math.max(...budgets), room = (high - low) * 0.04 || high * 0.05 || 1;
  const slow = Math.max(...times), fast = Math.min(...times), air = (slow - fast) * 0.12 || slow * 0.05 || 1;
  const frame = {inside, height, width, minimum, here, x0: Math.max(0, low - room), x1: high + room,
                 y0: Math.max(0, fast - air), y1: slow + air};
  frame.x = (bytes) => inside.left + (bytes - frame.x0) / (frame.x1 - frame.x0) * (width - inside.left - inside.right);
  frame.y = (time) => inside.top + (frame.y1 - time) / (frame.y1 - frame.y0) * (height - inside.top - inside.bottom);
  return frame;
}

const curveLines = (point) =>
  [["budget", both(point.budget_bytes)], ["peak", both(point.peak_bytes)], ["step", timeText(point.time_seconds)]];

function curveMarks(frame) {
  const {x, y, here, minimum, inside, height, width} = frame, marks = [], foot = height - inside.bottom;
  if (known(minimum)) {
    marks.push(
      el("svg:path", {d: `M${x(minimum)} ${inside.top}V${foot}`, stroke: "var(--warn)", "stroke-dasharray": "6 4"}),
      el("svg:text", {x: x(minimum), y: inside.top - 8, "text-anchor": x(minimum) > width / 2 ? "end" : "start"},
        `smallest: ${bytesText(minimum)}`, el("svg:title", null, exact(minimum))));
  }
  if (here) {
    const left = x(here.budget_bytes) > width * 0.6;  // the curve falls: room above to the right, below to the left
    marks.push(el("svg:circle", {cx: x(here.budget_bytes), cy: y(here.time_seconds), r: 6, fill: "var(--accent)",
        stroke: "var(--paper)", "stroke-width": 2}),
      el("svg:text", {class: "strong", x: x(here.budget_bytes) + (left ? 4 : 8),
        y: y(here.time_seconds) + (left ? 22 : -10), "text-anchor": left ? "end" : "start"},
        `this plan: ${timeText(here.time_seconds)} in ${bytesText(here.budget_bytes)}`));
  }
  return marks;
}

function curveShow() {
  const host = byId("curve");
  for (const node of document.querySelectorAll("#budget,[href='#budget']")) node.hidden = !curve.length;
  if (!curve.length) return;
  const frame = curveFrame(Math.max(300, host.clientWidth)), {x, y, inside, width, height} = frame;
  const foot = height - inside.bottom, budgets = ticks(frame.x0, frame.x1, width / 90, true);
  const place = (p) => [x(p.budget_bytes).toFixed(1), y(p.time_seconds).toFixed(1)];
  const path = curve.map((p, i) => (i ? `H${place(p)[0]}V${place(p)[1]}` : `M${place(p).join(" ")}`)).join("");
  const ring = el("svg:circle", {r: 6, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5, visibility: "hidden"});
  let at = -1;
  const point = (index, event) => {
    at = Math.min(curve.length - 1, Math.max(0, index));
    ring.setAttribute("cx", x(curve[at].budget_bytes));
    ring.setAttribute("cy", y(curve[at].time_seconds));
    ring.setAttribute("visibility", "visible");
    const box = ring.getBoundingClientRect();
    tip.show(event?.clientX ?? box.right, event?.clientY ?? box.bottom, "plan", curveLines(curve[at]));
  };
  const leave = () => { ring.setAttribute("visibility", "hidden"); tip.hide(); };
  host.replaceChildren(el("svg:svg", {viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "img",
      "aria-label": `step time at ${plural(curve.length, "budget")}; arrows move along the curve`,
      pointermove: (event) => {
        const box = event.currentTarget.getBoundingClientRect();
        const pointer = (event.clientX - box.left) * width / box.width;
        const near = (p) => Math.abs(x(p.budget_bytes) - pointer);
        point(curve.reduce((best, p, i) => (near(p) < near(curve[best]) ? i : best), 0), event);
      }, pointerleave: leave, blur: leave, keydown: (event) => {
        const by = {ArrowRight: 1, ArrowLeft: -1}[event.key];
        if (by) { event.preventDefault(); point(at + by); }
      }},
    ticks(frame.y0, frame.y1, 5).values.map((tick) => [
      el("svg:path", {d: `M${inside.left} ${y(tick.at)}H${width - inside.right}`, stroke: "var(--line)"}),
      el("svg:text", {x: inside.left - 7, y: y(tick.at) + 4, "text-anchor": "end"}, timeText(tick.at))]),
    budgets.values.map((tick) =>
      el("svg:text", {x: x(tick.at), y: foot + 18, "text-anchor": "middle"}, `${tick.text} ${budgets.unit}`)),
    el("svg:text", {x: width - inside.right, y: height - 4, "text-anchor": "end"}, "memory budget of a rank"),
    el("svg:path", {d: path, fill: "none", stroke: "var(--accent)", "stroke-width": 2}),
    curve.map((p) => el("svg:circle", {cx: x(p.budget_bytes), cy: y(p.time_seconds), r: 2.6, fill: "var(--accent)"})),
    curveMarks(frame), ring));
  drawn.curve = curve.length;
}
