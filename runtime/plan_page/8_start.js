
// ---- search: by block, buffer or op

// Indices of the blocks, buffers and steps whose name, op or kind holds the text, or whose block does.
function search(text) {
  const wanted = String(text).trim().toLowerCase();
  if (!wanted) return {blocks: [], buffers: [], steps: []};
  const holds = (value) => String(value ?? "").toLowerCase().includes(wanted);
  const indices = (items, test) => items.flatMap((item, i) => (test(item) ? [i] : []));
  const inBlocks = indices(blocks, (b) => holds(b.name)), members = new Set(inBlocks);
  return {blocks: inBlocks,
          buffers: indices(buffers, (b) => holds(b.name) || holds(b.kind) || members.has(b.block)),
          steps: indices(schedule, (s) => holds(s.name) || holds(s.op) || members.has(s.block))};
}

function searchFor(text) {
  byId("search").value = text;
  searchShow();
  byId("search").focus();
}

// One hit: a button that goes to it.
function foundRow(colour, name, value, section, go) {
  const jump = () => {
    byId("found").hidden = true;
    byId(section).scrollIntoView();
    go();
  };
  return el("button", {class: "row", type: "button", title: name, click: jump},
    keySwatch(colour), el("span", {class: "name"}, name), el("span", {class: "value soft"}, value));
}

function foundGroup(noun, indices, row) {
  const shown = 40, more = indices.length - shown;
  return indices.length ? [el("h3", null, plural(indices.length, noun)), ...indices.slice(0, shown).map(row),
                           ...(more > 0 ? [el("h3", null, `and ${grouped(more)} more`)] : [])] : [];
}

const foundBlock = (i) => foundRow(modeColour(blocks[i].mode), blocks[i].name, bytesText(blocks[i].saved_bytes),
                                   "checkpoints", () => blockSelect(i));
const foundBuffer = (i) => foundRow(colourOf(buffers[i].kind), shortName(buffers[i]), bytesText(buffers[i].bytes),
                                    "memory", () => showBuffer(buffers[i]));
const foundStep = (i) => foundRow(colourOf(schedule[i].phase), `${schedule[i].op ?? ""} ${shortName(schedule[i])}`,
                                  grouped(i), "memory", () => map && select(i));

function searchShow() {
  const text = byId("search").value.trim(), hits = search(text);
  found = text ? {blocks: new Set(hits.blocks), buffers: new Set(hits.buffers), steps: new Set(hits.steps)} : null;
  const rows = [...foundGroup("block", hits.blocks, foundBlock), ...foundGroup("buffer", hits.buffers, foundBuffer),
                ...foundGroup("step", hits.steps, foundStep)];
  byId("found").replaceChildren(...(rows.length ? rows : [el("h3", null, "nothing holds that text")]));
  byId("found").hidden = !text;
  highlightShow();
}

function highlightShow() {
  map?.later();
  streams?.later();
  if (blocks.length) chainShow();
}

// ---- start

function drawAll() {
  themeRead();
  map?.draw();
  streams?.draw();
  if (blocks.length) chainShow();
  curveShow();
}

answerShow();
runShow();
const map = mapStart();
const streams = streamsStart();
if (map) {
  liveShow();
  legendMap();
  byId("map-tools").append(
    choice("along", [["steps", "steps"], ["time", "time"]], axis, axisSet),
    choice("colour by", [["kind", "kind"], ["block", "block"]], colouring, (value) => {
      colouring = value;
      legendMap();
      liveShow();
      map.later();
    }), zoomButtons(map), el("button", {type: "button", click: () => { map.all(); select(peakStep); }}, "Peak"));
}
themeRead();
checkpointsStart();
kindsShow();
stagesShow();
moreShow();
drawAll();

byId("search").addEventListener("input", searchShow);
byId("search").form.addEventListener("submit", (event) => {
  event.preventDefault();
  byId("found").querySelector("button")?.click();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !["INPUT", "TEXTAREA"].includes(document.activeElement?.tagName)) {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "Escape") {
    tip.hide();
    byId("found").hidden = true;
  }
});
document.addEventListener("pointerdown", (event) => {
  if (!byId("search").form.contains(event.target)) byId("found").hidden = true;
});
let widthBefore = document.documentElement.clientWidth;
addEventListener("resize", () => {
  if (document.documentElement.clientWidth === widthBefore) return;
  widthBefore = document.documentElement.clientWidth;
  drawAll();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
// Paper is white whatever the screen is.
addEventListener("beforeprint", () => { document.documentElement.classList.add("print"); drawAll(); });
addEventListener("afterprint", () => { document.documentElement.classList.remove("print"); drawAll(); });

// For tests and for the curious.
window.planPage = {
  plan, drawn, bufferAt, liveAt, search, searchFor, select, map, streams, spans, waits, lanes, peakStep, baseBytes,
  along, axisSet, get cursor() { return cursor; }, get chosen() { return chosen; },
};
