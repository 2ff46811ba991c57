// Curves on a canvas: a cursor reads them, the legend shows values and hides.

const MARGIN = {top: 8, right: 10, bottom: 22, left: 8};
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]];

class Plot {
  // page: {runs: [label], steps, smooth, logX, hidden: Set of runs}
  constructor(host, panel, page) {
    this.panel = panel;
    this.page = page;
    this.logY = false;
    this.hidden = new Set();
    this.cursor = null;
    const names = [...new Set(panel.series.map(series => series.name))];
    const several = page.runs.length > 1;
    this.curves = panel.series.map((series, i) => ({
      ...series,
      steps: series.steps || page.steps[series.run],
      color: `--c${(several ? series.run : i) % 10}`,
      dash: several ? DASHES[names.indexOf(series.name) % DASHES.length] : [],
      label: !several ? series.name
        : names.length > 1 ? `${page.runs[series.run]} · ${series.name}`
        : page.runs[series.run],
    }));
    this.build(host);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  build(host) {
    const figure = element('figure', {class: 'plot'}, host);
    const header = element('header', {}, figure);
    element('h3', {}, header, this.panel.title);
    this.where = element('span', {class: 'step'}, header);
    const log = element(
      'button', {type: 'button', 'aria-pressed': 'false'}, header, 'log');
    log.title = 'Logarithmic axis: what is not above 0 is left out';
    log.addEventListener('click', () => {
      this.logY = !this.logY;
      log.setAttribute('aria-pressed', this.logY);
      this.draw();
    });
    this.canvas = element('canvas', {
      tabindex: '0', role: 'img', 'aria-label': `Curves: ${this.panel.title}`,
    }, figure);
    const legend = element('ul', {class: 'legend'}, figure);
    this.entries = this.curves.map((curve, i) => this.entry(legend, curve, i));
    if (this.panel.about) {
      element('p', {class: 'faint'}, figure, this.panel.about);
    }
    this.listen();
  }

  entry(legend, curve, i) {
    const button = element(
      'button', {type: 'button', 'aria-pressed': 'true'},
      element('li', {}, legend));
    const dash = curve.dash.join(' ');
    button.innerHTML =
      '<svg width="20" height="8" aria-hidden="true"><line x1="0" x2="20" ' +
      `y1="4" y2="4" stroke="var(${curve.color})" stroke-width="3" ` +
      `stroke-dasharray="${dash}"/></svg>`;
    const lost = curve.lost ? ` (${curve.lost} not finite)` : '';
    button.append(curve.label + lost + ' ');
    button.addEventListener('click', () => {
      if (!this.hidden.delete(i)) this.hidden.add(i);
      button.setAttribute('aria-pressed', !this.hidden.has(i));
      this.draw();
    });
    return {button, value: element('b', {}, button)};
  }

  listen() {
    const move = place => {
      this.cursor = this.x && !this.x.isEmpty ? this.x.value(place) : null;
      this.draw();
    };
    this.canvas.addEventListener('pointermove', e => move(e.offsetX));
    this.canvas.addEventListener('pointerdown', e => move(e.offsetX));
    this.canvas.addEventListener('pointerleave', e => {
      if (e.pointerType !== 'mouse') return;  // A finger's reading stays.
      this.cursor = null;
      this.draw();
    });
    this.canvas.addEventListener('keydown', e => {
      const by = {ArrowLeft: -1, ArrowRight: 1}[e.key];
      if (!by || !this.x) return;
      e.preventDefault();
      const now = this.cursor === null ? this.x.to : this.x.place(this.cursor);
      move(Math.min(this.x.to, Math.max(this.x.from, now + 5 * by)));
    });
  }

  shown() {
    return this.curves.filter(
      (curve, i) => !this.hidden.has(i) && !this.page.hidden.has(curve.run));
  }

  draw() {
    const {clientWidth: width, clientHeight: height} = this.canvas;
    if (!width) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext('2d');
    context.scale(ratio, ratio);
    context.font = '12px system-ui, sans-serif';
    this.drawAxes(context, width, height);
    for (const curve of this.shown()) this.drawCurve(context, curve);
    this.read(context);
  }

  drawAxes(context, width, height) {
    const shown = this.shown();
    const ys = shown.flatMap(
      c => c.low ? [...c.low, ...c.high] : c.mean);
    const bottom = height - MARGIN.bottom;
    this.y = new Axis(ys, this.logY, bottom, MARGIN.top, .05);
    const marks = this.y.isEmpty ? []
      : ticks(this.y.low, this.y.high, this.logY, 5);
    const widest = Math.max(
      0, ...marks.map(v => context.measureText(short(v)).width));
    const left = MARGIN.left + widest + 6;
    const xs = shown.flatMap(c => c.steps.mean);
    this.x = new Axis(
      xs, this.page.logX, left, width - MARGIN.right, 0);
    context.fillStyle = css('--faint');
    context.strokeStyle = css('--line');
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    for (const value of marks) {
      const y = this.y.place(value);
      line(context, left, y, width - MARGIN.right, y);
      context.fillText(short(value), left - 6, y);
    }
    if (this.x.isEmpty || this.y.isEmpty) {
      context.textAlign = 'center';
      context.fillText('nothing to show', width / 2, height / 2);
      return;
    }
    context.textAlign = 'center';
    const most = Math.max(2, Math.floor(width / 90));
    for (const value of ticks(this.x.low, this.x.high, this.page.logX, most)) {
      const half = context.measureText(short(value)).width / 2;
      const x = Math.min(this.x.place(value), width - half);
      context.fillText(short(value), x, height - MARGIN.bottom / 2);
    }
  }

  drawCurve(context, curve) {
    const color = css(curve.color);
    const xs = curve.steps.mean.map(x => this.x.place(x));
    if (curve.low) this.drawBand(context, xs, curve, color);
    // Scores are few, and each stands for itself.
    const smooth = curve.steps === this.page.steps[curve.run]
      ? this.page.smooth : 0;
    if (smooth) {
      context.globalAlpha = .3;
      this.stroke(context, xs, curve.mean, color, 1, curve.dash);
      context.globalAlpha = 1;
    }
    const values = smoothed(curve.mean, smooth);
    this.stroke(context, xs, values, color, 1.7, curve.dash);
  }

  drawBand(context, xs, curve, color) {
    context.fillStyle = color;
    context.globalAlpha = .22;
    for (let i = 0; i < xs.length; i++) {
      if (xs[i] === null || curve.high[i] === null) continue;
      const top = this.y.place(curve.high[i]);
      if (top === null) continue;
      const low = this.y.place(curve.low[i]);
      const bottom = low === null ? this.y.from : low;
      const next = i + 1 < xs.length ? xs[i + 1] : xs[i] + 1;
      context.fillRect(
        xs[i], top, Math.max(1, next - xs[i]), Math.max(1, bottom - top));
    }
    // A spike is one pixel wide: an edge makes it seen.
    context.globalAlpha = .5;
    for (const edge of [curve.low, curve.high]) {
      this.stroke(context, xs, edge, color, 1, []);
    }
    context.globalAlpha = 1;
  }

  stroke(context, xs, values, color, width, dash) {
    context.strokeStyle = context.fillStyle = color;
    context.lineWidth = width;
    context.lineJoin = 'round';
    context.setLineDash(dash);
    context.beginPath();
    let before = false;
    const points = [];
    values.forEach((value, i) => {
      const y = value === null || xs[i] === null ? null : this.y.place(value);
      if (y === null) return;  // Gaps are of other rows: a line goes on.
      points.push([xs[i], y]);
      if (before) context.lineTo(xs[i], y); else context.moveTo(xs[i], y);
      before = true;
    });
    context.stroke();
    context.setLineDash([]);
    if (points.length > 40) return;
    for (const [x, y] of points) dot(context, x, y, 2.2);
  }

  // Draws the cursor, and shows the values there, else the last ones.
  read(context) {
    const shown = new Set(this.shown());
    let at = null;
    this.curves.forEach((curve, i) => {
      const {value} = this.entries[i];
      const k = shown.has(curve) ? nearest(curve, this.cursor) : null;
      if (k === null) {
        value.textContent = '';
        return;
      }
      value.textContent = short(curve.mean[k]);
      if (curve.low && curve.low[k] !== curve.high[k]) {
        value.textContent +=
          ` (${short(curve.low[k])} to ${short(curve.high[k])})`;
      }
      const steps = curve.steps;
      const range = [(steps.first || steps.mean)[k], (steps.last || steps.mean)[k]];
      if (!at || range[1] > at[1]) at = range;
      const x = this.x.place(steps.mean[k]), y = this.y.place(curve.mean[k]);
      if (this.cursor === null || x === null || y === null) return;
      context.fillStyle = css(curve.color);
      dot(context, x, y, 3.5);
    });
    this.where.textContent = !at ? ''
      : at[0] === at[1] ? `step ${at[0].toLocaleString('en')}`
      : `steps ${at[0].toLocaleString('en')} to ${at[1].toLocaleString('en')}`;
    if (this.cursor === null) return;
    context.strokeStyle = css('--faint');
    context.lineWidth = 1;
    const x = this.x.place(this.cursor);
    if (x !== null) line(context, x, this.y.to, x, this.y.from);
  }
}

function line(context, x1, y1, x2, y2) {
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

function dot(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fill();
}

// The index of the value whose step is nearest; of the last one without a step.
function nearest(curve, step) {
  let best = null;
  for (let i = 0; i < curve.mean.length; i++) {
    if (curve.mean[i] === null) continue;
    const far = at => Math.abs(curve.steps.mean[at] - step);
    if (best === null || step === null || far(i) <= far(best)) best = i;
  }
  return best;
}
