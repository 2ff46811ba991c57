// Grids of samples over the steps, of one run or of several side by side.

class Film {
  // frames: for each run a list of {step, weights, rows, image}, by step.
  constructor(controls, host, frames, runs) {
    this.weights = frames.flat().some(f => f.weights === 'ema') ? 'ema' : 'raw';
    this.row = '';
    this.figures = [];
    frames.forEach((of, run) => {
      if (!of.length) return;
      const figure = element('figure', {}, host);
      const canvas = element('canvas', {role: 'img'}, figure);
      const caption = element('figcaption', {class: 'faint'}, figure);
      this.figures.push({of, name: runs[run], figure, canvas, caption});
    });
    const several = runs.length > 1;
    this.prefix = figure => several ? `${figure.name}: ` : '';
    this.steps = [...new Set(frames.flat().map(f => f.step))]
      .sort((a, b) => a - b);
    this.index = this.steps.length - 1;
    this.build(controls);
    new ResizeObserver(() => this.show()).observe(host);
  }

  build(controls) {
    const label = element('label', {class: 'wide'}, controls, 'step ');
    this.slider = element('input', {
      type: 'range', min: 0, max: this.index, value: this.index, step: 1,
    }, label);
    this.where = element('b', {class: 'step'}, label);
    this.slider.addEventListener('input', () => {
      this.index = Number(this.slider.value);
      this.show();
    });
    const both = element('span', {}, controls);
    const buttons = ['raw', 'ema'].map(weights => {
      const text = weights === 'ema' ? 'EMA' : weights;
      const button = element('button', {type: 'button'}, both, text);
      button.addEventListener('click', () => {
        this.weights = weights;
        mark();
        this.show();
      });
      return [button, weights];
    });
    const mark = () => buttons.forEach(([button, weights]) =>
      button.setAttribute('aria-pressed', weights === this.weights));
    mark();
    this.buildClasses(controls);
  }

  buildClasses(controls) {
    const names = new Set(
      this.figures.flatMap(figure => figure.of.flatMap(f => f.rows)));
    if (!names.size) return;  // Of an older version, whose config is lost.
    const rows = ['', ...names];
    const label = element('label', {}, controls, 'class ');
    const select = element('select', {}, label);
    rows.forEach((name, i) => element(
      'option', {value: i}, select, i ? name : `all ${names.size}`));
    const choose = i => {
      select.selectedIndex = (i + rows.length) % rows.length;
      this.row = rows[select.selectedIndex];
      this.show();
    };
    select.addEventListener('change', () => choose(select.selectedIndex));
    const both = element('span', {}, controls);
    for (const [text, by, title] of [
      ['‹', -1, 'class before'], ['›', 1, 'next class'],
    ]) {
      const button = element(
        'button', {type: 'button', title, 'aria-label': title}, both, text);
      button.addEventListener('click', () => choose(select.selectedIndex + by));
    }
  }

  show() {
    const step = this.steps[this.index];
    this.where.textContent = step.toLocaleString('en');
    for (const figure of this.figures) this.showIn(figure, step);
  }

  // The last grid up to a step.
  async showIn(figure, step) {
    const frame = figure.of.findLast(
      f => f.step <= step && f.weights === this.weights);
    figure.wanted = frame;
    if (!frame) {
      figure.canvas.hidden = true;
      figure.caption.textContent =
        `${this.prefix(figure)}no grid of ${this.weights} weights by then`;
      return;
    }
    if (!frame.decoded) {
      const image = new Image();
      image.src = frame.image;
      await image.decode();
      frame.decoded = image;
      if (figure.wanted !== frame) return;  // The slider has moved on.
    }
    figure.canvas.hidden = false;
    this.paint(figure, frame);
  }

  paint(figure, frame) {
    const {decoded: image, rows} = frame;
    const row = rows.indexOf(this.row);
    // Between two rows there is a 33rd part of them; see pictures/grids.py.
    const pitch = image.height / (rows.length - 1 / 33);
    const top = row < 0 ? 0 : Math.round(row * pitch);
    const height = row < 0 ? image.height : Math.round(pitch * 32 / 33);
    const {canvas} = figure;
    canvas.width = image.width;
    canvas.height = height;
    canvas.getContext('2d').drawImage(image, 0, -top);
    const room = figure.figure.parentElement.clientWidth;
    const zoom = image.width < 500 ? 2 : 1;
    canvas.style.width = `${Math.min(room, image.width * zoom)}px`;
    canvas.style.imageRendering =
      zoom > 1 && room >= image.width * zoom ? 'pixelated' : 'auto';
    const missing = this.row && row < 0 ? `; no class ${this.row}` : '';
    const what = row < 0 ? '' : `, ${this.row}`;
    const name = this.weights === 'ema' ? 'EMA' : this.weights;
    figure.caption.textContent = `${this.prefix(figure)}step ` +
      `${frame.step.toLocaleString('en')}, ${name} weights${what}${missing}`;
    canvas.setAttribute('aria-label', figure.caption.textContent);
  }
}
