
// ---- the answer: does it fit, how long, how good

// "1e9", "1,281,167", "1.28 M", "2 billion"; undefined when it is no count.
function countRead(text) {
  const match = /^\s*([\d.,]+(?:e\d+)?)\s*(k|m|g|b|thousand|million|billion)?\s*$/i.exec(text);
  const factor = {k: 1e3, t: 1e3, m: 1e6, g: 1e9, b: 1e9}[match?.[2]?.[0].toLowerCase()] ?? 1;
  const count = match ? Number(match[1].replaceAll(",", "")) * factor : NaN;
  return Number.isFinite(count) && count > 0 ? count : undefined;
}

function durationText(seconds) {
  if (!known(seconds)) return "–";
  const days = seconds / 86400;
  if (days >= 730) return `${(days / 365.25).toFixed(1)} years`;
  return days >= 1 ? `${days.toFixed(days < 100 ? 1 : 0)} days` : days >= 1 / 24 ? `${(24 * days).toFixed(1)} hours`
    : `${(1440 * days).toFixed(1)} minutes`;
}

const tile = (figure, ...under) =>
  el("div", {class: "tile"}, el("b", null, figure), under.map((text) => el("span", null, text)));

function tilesMake() {
  const ranks = machine.ranks, rate = step.images_per_second, again = step.recompute_seconds;
  const images = known(step.images) ? ` of ${plural(step.images, "image")}` : "";
  const parts = step.micro_steps > 1 ? ` in ${step.micro_steps} micro-steps`
    : slices > 1 ? ` in ${slices} slices a rank` : "";
  const days = el("b"), hours = el("b"), input = el("input", {value: "1 billion", "aria-label": "number of images",
    autocomplete: "off", spellcheck: "false", input: () => count()});
  const count = () => {
    const images = countRead(input.value), seconds = known(rate) && rate > 0 && images ? images / rate : undefined;
    days.textContent = durationText(seconds);
    hours.textContent = known(seconds) ? grouped(seconds / 3600 * (ranks || 1)) : "–";
  };
  count();
  return el("div", {class: "tiles"},
    tile(timeText(step.time_seconds), `a step${images}${parts}`),
    tile(known(rate) ? (rate < 100 ? rate.toFixed(1) : grouped(rate)) : "–", "images per second",
      ranks > 1 && known(rate) ? `${(rate / ranks).toFixed(2)} a rank` : ""),
    el("div", {class: "tile"}, days, el("span", null, "for this many images:"), input),
    el("div", {class: "tile"}, hours, el("span", null, "rank-hours for as many images"),
      el("span", null, ranks > 1 ? `on ${plural(ranks, "rank")}` : "on one rank")),
    tile(percent(checkpoint.gap), "gap to the lower bound",
      checkpoint.optimal_in_class === true ? "optimal in its class" : ""),
    tile(timeText(again), "forward again, to save memory",
      known(again) && step.time_seconds > 0 ? `${percent(again / step.time_seconds)} of the step` : ""));
}

function verdictMake() {
  const {budget_bytes: budget, peak_bytes: peak, minimum_budget_bytes: minimum, minimum_set_by: by} = memory;
  if (!known(peak)) return el("p", {class: "verdict"}, "The plan tells no peak.");
  const set = by ? `, set by ${by}.` : ".";
  const least = known(minimum) ? [" The smallest budget that would do is ", bytesShown(minimum), set] : [];
  const per = machine.ranks > 1 ? " on each rank" : "";
  if (!known(budget)) return el("p", {class: "verdict"}, el("b", null, "Peak: "), bytesShown(peak), `${per}.`, least);
  const slack = budget - peak;
  return el("p", {class: "verdict"},
    slack >= 0 ? el("b", null, "✓ It fits. ") : el("b", {class: "warn"}, "✗ It does not fit. "), bytesShown(peak),
    " of ", bytesShown(budget), `${per}; `, bytesShown(Math.abs(slack)),
    ` (${percent(Math.abs(slack) / budget)}) ${slack >= 0 ? "to spare" : "too much"}.`,
    el("span", {class: "soft"}, least));
}

// Peak by kind; the arena's bytes that no buffer uses at the peak are told as such, so that the parts add up.
function kindRows() {
  const told = Object.entries(memory.by_kind && typeof memory.by_kind === "object" ? memory.by_kind : {});
  const rows = told.filter(([, bytes]) => known(bytes)).map(([name, bytes]) => ({name, bytes, colour: colourOf(name)}))
    .sort((a, b) => b.bytes - a.bytes);
  const rest = known(memory.peak_bytes) ? memory.peak_bytes - rows.reduce((sum, row) => sum + row.bytes, 0) : 0;
  return rest > 0 && rows.length ? [...rows, {name: "between buffers", bytes: rest, colour: COLOURS.other}] : rows;
}

function answerShow() {
  const parameters = (count, words) => (known(count) ? el("span", {title: grouped(count)}, words) : undefined);
  const parts = [model.family,
    parameters(model.parameters_total, `${countText(model.parameters_total)} parameters`),
    parameters(model.parameters_trunk, `${countText(model.parameters_trunk)} in the trunk`)].filter(Boolean);
  const ranks = machine.ranks > 1 ? `${plural(machine.ranks, "rank")} of ` : "";
  const name = machine.name === "this" ? "this machine" : machine.name ?? "";
  const where = `${ranks}${name}${machine.nodes > 1 ? ` on ${plural(machine.nodes, "node")}` : ""}`;
  const whole = Math.max(1, memory.budget_bytes || 0, memory.peak_bytes || 0), rows = kindRows();
  document.title = `${model.name ?? "plan"} · seer plan`;
  byId("answer").replaceChildren(
    el("div", {class: "answer"}, el("h1", null, String(model.name ?? "Plan")), el("span", null, where),
      el("span", {class: "soft"}, parts.map((part, i) => [i ? " · " : "", part]))),
    el("div", {class: "card"}, verdictMake(),
      stackedBar("the peak by kind, as parts of the budget", rows, whole),
      el("div", {class: "legend"}, rows.filter((row) => row.bytes > whole / 500).map((row) =>
        el("span", {title: exact(row.bytes)}, keySwatch(row.colour), `${row.name} ${bytesText(row.bytes)}`))),
      el("p", {class: "note", id: "proof", style: "margin:10px 0 0"}, proofText())),
    tilesMake());
}

// ---- tables

// Heads that begin with # are of numbers. A row is a list of cells, or {cells, chosen}.
function table(heads, rows, style) {
  const numeric = (head) => (head.startsWith("#") ? "number" : "");
  const body = rows.map((row) => el("tr", {class: row.chosen ? "chosen" : ""},
    (row.cells ?? row).map((cell, i) => el("td", {class: numeric(heads[i])}, cell))));
  const head = heads.map((name) => el("th", {class: numeric(name), scope: "col"}, name.replace("#", "")));
  return el("div", {class: "scroll"},
    el("table", {class: style}, el("thead", null, el("tr", null, head)), el("tbody", null, body)));
}

function kindsShow() {
  const rows = kindRows(), most = Math.max(1, ...rows.map((row) => row.bytes));
  const row = ({name, bytes, colour}) => [name, meterBar(bytes / most, colour), bytesText(bytes), grouped(bytes)];
  const sum = (name, bytes) =>
    (known(bytes) ? [{cells: [name, "", bytesText(bytes), grouped(bytes)], chosen: true}] : []);
  const outside = Array.isArray(memory.outside) ? memory.outside.filter((item) => item && known(item.bytes)) : [];
  const beside = outside.map((item, i) =>
    [i ? "; " : "", `${item.name ?? ""} `, bytesShown(item.bytes), item.why ? ` (${item.why})` : ""]);
  byId("kinds").replaceChildren(
    table(["kind", "", "#", "#bytes"],
      [...rows.map(row), ...sum("peak", memory.peak_bytes), ...sum("budget", memory.budget_bytes),
       ...sum("on the host", memory.host_bytes || undefined)]),
    outside.length ? el("p", {class: "note", style: "margin-top:10px"}, "Outside of the budget: ", beside, ".") : "");
}

function stagesShow() {
  const rows = [...new Set(blocks.map((b) => b.stage))].map((stage) => {
    const members = blocks.filter((b) => b.stage === stage), number = Number(stage) - 1, modes = new Map();
    const sum = (field) => members.reduce((total, b) => total + (b[field] || 0), 0);
    for (const b of members) modes.set(String(b.mode ?? ""), (modes.get(String(b.mode ?? "")) ?? 0) + 1);
    const ways = [...modes].map(([name, count]) => legendItem(modeColour(name), `${count} × ${name}`));
    const again = members.reduce((total, b) => total + reruns(b), 0);
    return [stageText(stage) || "–", String(members.length), String(model.widths?.[number] ?? ""),
      String(model.group_widths?.[number] ?? ""), el("div", {class: "legend", style: "margin:0"}, ways),
      bytesShown(sum("saved_bytes")), again ? String(again) : "–",
      timeText(sum("forward_seconds") || undefined), timeText(sum("backward_seconds") || undefined)];
  });
  const heads = ["stage", "#blocks", "#width", "#group width", "ways to save", "#keeps", "#run again", "#forward",
                 "#backward"];
  byId("stage-table").replaceChildren(
    rows.length ? table(heads, rows, "stages") : el("p", {class: "note"}, "This plan tells no blocks."));
}

function moreShow() {
  const {shard} = plan, units = Array.isArray(shard.units) ? shard.units.filter((unit) => unit) : [];
  const macs = Object.entries(model.macs_by_size && typeof model.macs_by_size === "object" ? model.macs_by_size : {});
  const whole = (count) => (known(count) ? grouped(count) : undefined);
  const size = (bytes) => (known(bytes) ? bytesShown(bytes) : undefined);
  byId("more").replaceChildren(
    el("section", {class: "card"}, el("h2", null, "Machine and work"), facts([
      ["machine", machine.name], ["ranks", whole(machine.ranks)], ["nodes", whole(machine.nodes)],
      ["memory", size(machine.memory_bytes)], ["arithmetic", rateText(machine.flops_per_second, "FLOP/s")],
      ["memory traffic", rateText(machine.bytes_per_second, "B/s")],
      ["network", rateText(machine.link_bytes_per_second || undefined, "B/s")],
      ["host copies", rateText(machine.host_bytes_per_second || undefined, "B/s")],
      ["work of a step", rateText(step.flops, "FLOP")], ["of it forward again", rateText(step.recompute_flops, "FLOP")],
      ...macs.map(([pixels, count]) => [`forward at ${pixels} px`, rateText(count, " multiply-adds")])])),
    el("section", {class: "card"}, el("h2", null, "Shards"), facts([
      ["ranks that share", whole(shard.world)], ["gathered in a step", size(shard.gather_bytes)],
      ["reduced in a step", size(shard.reduce_bytes)]]),
      el("details", null, el("summary", null, plural(units.length, "unit")),
        table(["unit", "#parameters", "#", "#bytes"], units.map((unit) => [String(unit.name ?? ""),
          whole(unit.parameters) ?? "–", bytesText(unit.bytes), whole(unit.bytes) ?? "–"])))));
}
