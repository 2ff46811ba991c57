// Puts a report together: plots, and what moves all of them; grids.

const data = pageData();
const page = {
  runs: data.runs, steps: data.steps, smooth: 0, logX: false, hidden: new Set(),
};
const plots = [];

function redraw() {
  for (const plot of plots) plot.draw();
}

function buildControls(host) {
  const smooth = element('label', {class: 'wide'}, host, 'smoothing ');
  const slider = element(
    'input', {type: 'range', min: 0, max: .99, step: .01, value: 0}, smooth);
  const amount = element('b', {class: 'step'}, smooth, '0');
  slider.addEventListener('input', () => {
    page.smooth = Number(slider.value);
    amount.textContent = slider.value;
    redraw();
  });
  const log = element('label', {}, host);
  const box = element('input', {type: 'checkbox'}, log);
  log.append('logarithmic steps');
  box.addEventListener('change', () => {
    page.logX = box.checked;
    redraw();
  });
  if (data.runs.length < 2) return;
  data.runs.forEach((name, run) => {
    const button = element(
      'button', {type: 'button', 'aria-pressed': 'true'}, host);
    const dot = element('span', {class: 'dot'}, button);
    dot.style.background = `var(--c${run % 10})`;
    button.append(name);
    button.addEventListener('click', () => {
      if (!page.hidden.delete(run)) page.hidden.add(run);
      button.setAttribute('aria-pressed', !page.hidden.has(run));
      redraw();
    });
  });
}

const controls = document.getElementById('curve-controls');
if (controls) buildControls(controls);
for (const host of document.querySelectorAll('[data-plots]')) {
  for (const panel of data.plots[host.dataset.plots]) {
    plots.push(new Plot(host, panel, page));
  }
}
const films = document.getElementById('films');
if (films) {
  new Film(
    document.getElementById('film-controls'), films, data.frames, data.runs);
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
