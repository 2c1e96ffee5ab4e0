
// ---- the run: where a step goes, and what the whole run takes

const TRAFFIC = {gather: ["waits for parameters", COLOURS.network], reduce: ["waits for gradients", COLOURS.sent],
  batch_norm: ["waits for BatchNorm's sums", COLOURS.message],
  sinkhorn: ["waits for Sinkhorn's sums", COLOURS.statistics],
  update_numbers: ["waits for update numbers", COLOURS.loader], to_host: ["waits for copies to the host", COLOURS.host],
  from_host: ["waits for copies back", COLOURS.host]};

// Every part of the step with its colour, what of it is hidden, messages and bytes; those of no time and no traffic are
// left out.
function partsOfStep(told) {
  const computed = [["forward", told.forward_seconds, COLOURS.forward],
    ["backward", told.backward_seconds, COLOURS.backward], ["computed again", told.again_seconds, COLOURS.reforward],
    ["update", told.update_seconds, COLOURS.update]].map(([name, seconds, colour]) => ({name, seconds, colour}));
  const travels = (Array.isArray(told.traffic) ? told.traffic.filter(Boolean) : []).map((t) => ({
    name: TRAFFIC[t.kind]?.[0] ?? String(t.kind), seconds: t.exposed_seconds,
    colour: TRAFFIC[t.kind]?.[1] ?? COLOURS.other, hidden: t.busy_seconds - t.exposed_seconds, count: t.count,
    bytes: t.sent_bytes}));
  const late = [{name: "slowest ranks", seconds: told.straggler_seconds, colour: "var(--warn)"},
    {name: "pictures come late", seconds: told.data_seconds, colour: COLOURS.snapshot}];
  return [...computed, ...travels, ...late].filter((part) => part.seconds > 0 || part.count > 0);
}

function stepTable(told) {
  const whole = told.time_seconds || 1, parts = partsOfStep(told);
  const row = (part) => [[keySwatch(part.colour), ` ${part.name}`], meterBar(part.seconds / whole, part.colour),
    timeText(part.seconds), percent(part.seconds / whole), part.hidden > 0 ? timeText(part.hidden) : "",
    part.count > 0 ? grouped(part.count) : "", part.count > 0 ? bytesText(part.bytes) : ""];
  return table(["part", "", "#time", "#share", "#hidden", "#messages", "#sent by a rank"], parts.map(row));
}

// A row for each figure that the plan tells.
const perhaps = (name, value, text) => (known(value) ? [[name, text(value)]] : []);

function runRows(told) {
  const share = (value) => `${percent(value)} of a step`, steps = (count) => `every ${grouped(count)} steps`;
  return [
    ...perhaps("pictures a second", told.images_per_second, (rate) => (rate < 100 ? rate.toFixed(1) : grouped(rate))),
    ...perhaps("share of the ranks' peak", told.peak_share, percent),
    ...perhaps("decoding", told.decode_share, share),
    ...perhaps("reading", told.read_share, share),
    ...perhaps("snapshots", told.save_every, steps),
    ...perhaps("a rank's share of one", told.snapshot_bytes, bytesText),
    ...perhaps("the step waits for it", told.snapshot_pause_seconds, timeText),
    ...perhaps("it is written in", told.snapshot_write_seconds || undefined, durationText),
    ...perhaps("a failure", told.failure_seconds, (seconds) => `in ${durationText(seconds)}`),
    ...perhaps("progress", told.effective_share, (value) => `${percent(value)} of the time`),
    ...perhaps("best snapshots", told.best_save_steps, steps),
    ...perhaps("steps", told.steps, grouped),
    ...perhaps("the whole run", told.days, (days) => durationText(days * 86400)),
    ...perhaps("without failures", told.days_without_failures, (days) => durationText(days * 86400)),
    ...perhaps("power", told.watts, (watts) => `${grouped(watts / 1e3)} kW`),
    ...perhaps("energy", told.joules, (joules) => `${(joules / 3.6e9).toPrecision(4)} MWh`),
    ...perhaps("cost", told.cost, grouped),
  ];
}

function sourcesMake() {
  const told = machine.sources && typeof machine.sources === "object" ? Object.entries(machine.sources) : [];
  const rows = told.map(([key, source]) => [`cluster.${key}`, String(source?.kind ?? ""), String(source?.text ?? "")]);
  if (!rows.length) return undefined;
  return el("details", null, el("summary", null, "Where the machine's numbers come from"),
            table(["key", "kind", "source"], rows));
}

function runShow() {
  const told = plan.simulation;
  byId("run").hidden = !told.step || typeof told.step !== "object";
  if (byId("run").hidden) return;
  byId("run-parts").replaceChildren(stepTable(told.step));
  byId("run-figures").replaceChildren(
    el("dl", null, runRows(told).map(([name, text]) => [el("dt", null, name), el("dd", null, text)])));
  byId("run-sources").replaceChildren(...[sourcesMake()].filter(Boolean));
}
