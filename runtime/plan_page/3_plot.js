// ---- a canvas with axes that zooms and pans

class Plot {
  // options: height, margin, flat (no zoom along y), full() -> limits, paint(plot), hover(plot, x, y), click(u), key(k)
  constructor(canvas, options) {
    Object.assign(this, {canvas, flat: false, ...options}, {context: canvas.getContext("2d"), drag: null});
    this.view = {...this.full()};
    canvas.addEventListener("wheel", (event) => this.wheel(event), {passive: false});
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.lift(event));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("keydown", (event) => this.type(event));
  }

  get inner() {
    const {left, right, top, bottom} = this.margin;
    return {left, top, width: Math.max(1, this.width - left - right), height: this.height - top - bottom};
  }
  x(u) { return this.inner.left + (u - this.view.x0) / (this.view.x1 - this.view.x0) * this.inner.width; }
  y(v) { return this.inner.top + (this.view.y1 - v) / (this.view.y1 - this.view.y0) * this.inner.height; }
  u(x) { return this.view.x0 + (x - this.inner.left) / this.inner.width * (this.view.x1 - this.view.x0); }
  v(y) { return this.view.y1 - (y - this.inner.top) / this.inner.height * (this.view.y1 - this.view.y0); }

  draw() {
    this.width = this.canvas.clientWidth;
    const scale = window.devicePixelRatio || 1;
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
    this.context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    this.context.textBaseline = "middle";
    this.paint(this);
  }
  later() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.draw(); });
  }

  // Shows the limits, cut to what there is.
  show(view) {
    const full = this.full();
    for (const [low, high] of [["x0", "x1"], ["y0", "y1"]]) {
      const whole = full[high] - full[low];
      const span = Math.min(whole, Math.max(view[high] - view[low], whole * 1e-6));
      this.view[low] = Math.min(Math.max(view[low], full[low]), full[high] - span);
      this.view[high] = this.view[low] + span;
    }
    this.later();
  }
  zoom(factor, u = (this.view.x0 + this.view.x1) / 2, v = (this.view.y0 + this.view.y1) / 2, along = this.flat) {
    const {x0, x1, y0, y1} = this.view, vertical = along ? 1 : factor;
    this.show({x0: u - (u - x0) * factor, x1: u + (x1 - u) * factor,
               y0: v - (v - y0) * vertical, y1: v + (y1 - v) * vertical});
  }
  pan(dx, dy) {
    const {x0, x1, y0, y1} = this.view, across = dx * (x1 - x0), up = this.flat ? 0 : dy * (y1 - y0);
    this.show({x0: x0 + across, x1: x1 + across, y0: y0 + up, y1: y1 + up});
  }
  all() { this.show(this.full()); }

  wheel(event) {
    if (document.activeElement !== this.canvas && !event.ctrlKey && !event.metaKey) return;  // the page scrolls
    event.preventDefault();
    const delta = event.deltaY || event.deltaX;
    this.zoom(Math.exp(Math.sign(delta) * Math.min(0.5, Math.abs(delta) / 400)), this.u(event.offsetX),
              this.v(event.offsetY), this.flat || event.shiftKey);
  }
  press(event) {
    this.drag = {x: event.offsetX, y: event.offsetY, moved: false};
    this.canvas.setPointerCapture(event.pointerId);
  }
  move(event) {
    if (!this.drag) {
      this.hover(this, event);
      return;
    }
    const dx = event.offsetX - this.drag.x, dy = event.offsetY - this.drag.y;
    if (!this.drag.moved && Math.hypot(dx, dy) < 4) return;
    tip.hide();
    this.pan(-dx / this.inner.width, dy / this.inner.height);
    this.drag = {x: event.offsetX, y: event.offsetY, moved: true};
  }
  lift(event) {
    if (this.drag && !this.drag.moved) this.click?.(this.u(event.offsetX), this.v(event.offsetY));
    this.drag = null;
  }
  leave() {
    tip.hide();
    this.hover(this, null);
  }
  type(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions = {
      ArrowLeft: () => this.pan(-0.15, 0), ArrowRight: () => this.pan(0.15, 0), ArrowUp: () => this.pan(0, 0.15),
      ArrowDown: () => this.pan(0, -0.15), "+": () => this.zoom(0.7), "=": () => this.zoom(0.7),
      "-": () => this.zoom(1 / 0.7), 0: () => this.all(), Home: () => this.all(), ...this.keys,
    };
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  }
}

// Round values inside [low, high]; for bytes round in their unit.
function ticks(low, high, count, units) {
  const unit = units ? 1024 ** Math.min(6, Math.max(0, Math.floor(Math.log2(Math.max(1, high)) / 10))) : 1;
  const rough = (high - low) / unit / count, power = 10 ** Math.floor(Math.log10(rough || 1)), share = rough / power;
  const size = power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
  const digits = Math.max(0, -Math.floor(Math.log10(size) + 1e-9)), values = [];
  for (let i = Math.ceil(low / unit / size - 1e-9); i * size * unit <= high * (1 + 1e-12); i++)
    values.push({at: i * size * unit, text: (i * size).toFixed(digits)});
  return {values, unit: units ? BYTE_UNITS[Math.round(Math.log2(unit) / 10)] : ""};
}

function line(context, colour, width, points, dash = []) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
  context.setLineDash([]);
}

function label(context, text, x, y, colour, align = "left") {
  context.fillStyle = colour;
  context.textAlign = align;
  context.fillText(text, x, y);
}

function hatch(context, colour) {
  const tile = el("canvas", {width: 6, height: 6}), pen = tile.getContext("2d");
  line(pen, colour, 1.2, [[-1, 7], [7, -1]]);
  return context.createPattern(tile, "repeat");
}

// Text in a box that has room for all of it.
function boxText(context, text, x, y, width, height, fill) {
  if (width < 22 || height < 11 || context.measureText(text).width > width - 8) return;
  label(context, text, x + 4, y + height / 2 + 0.5, inkOn(fill));
}

// Marks along the foot of a plot; those at its ends stay inside.
function footLabel(plot, text, u) {
  const half = plot.context.measureText(text).width / 2;
  const x = Math.min(plot.width - half - 1, Math.max(half + 1, plot.x(u)));
  label(plot.context, text, x, plot.height - 9, theme.soft, "center");
}

function timeAxis(plot, low, high) {
  const [scale, unit] = totalNs >= 2e9 ? [1e9, "s"] : totalNs >= 2e6 ? [1e6, "ms"] : [1e3, "µs"];
  for (const tick of ticks(low / scale, high / scale, plot.inner.width / 110).values)
    footLabel(plot, `${tick.text} ${unit}`, tick.at * scale);
}
