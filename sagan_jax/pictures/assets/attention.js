// The page of attention maps: a query pixel's row over the keys.
const data = pageData();
const $ = (id) => document.getElementById(id);
const choice = { ...data.first };
let held = false;
let hashTimer = 0;
const decoded = new Map();

const key = () =>
  [choice.step, choice.network, choice.images, choice.block].join('/');
const view = () => data.views[key()];
const maximum = () => Number($('maximum').value);
const shown = () => data.images[view().images];

// IEEE binary16, little endian, as base64.
function halves(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const words = new DataView(bytes.buffer);
  const values = new Float32Array(bytes.length / 2);
  for (let i = 0; i < values.length; i++) {
    const word = words.getUint16(2 * i, true);
    const exponent = (word >> 10) & 31;
    const fraction = (word & 1023) / 1024;
    values[i] = exponent ? 2 ** (exponent - 15) * (1 + fraction)
      : 2 ** -14 * fraction;
  }
  return values;
}

function row() {
  const name = `${key()}/${choice.sample}`;
  if (!decoded.has(name)) {
    if (decoded.size > 8) decoded.clear();
    decoded.set(name, halves(view().rows[choice.sample]));
  }
  const size = view().keys ** 2;
  const query = choice.y * view().queries + choice.x;
  return decoded.get(name).subarray(query * size, (query + 1) * size);
}

// Choices that cannot be met give way to the nearest that can.
function settle() {
  const names = Object.keys(data.views).map((name) => name.split('/'));
  const fields = ['step', 'network', 'images', 'block'];
  let left = names;
  fields.forEach((field, i) => {
    const values = [...new Set(left.map((name) => name[i]))];
    if (!values.includes(choice[field])) choice[field] = values[0];
    fill($(field), values, choice[field]);
    left = left.filter((name) => name[i] === choice[field]);
  });
  const limit = (value, count) =>
    Math.min(Math.max(Math.trunc(Number(value)) || 0, 0), count - 1);
  choice.sample = limit(choice.sample, view().rows.length);
  choice.y = limit(choice.y, view().queries);
  choice.x = limit(choice.x, view().queries);
}

function fill(select, values, chosen) {
  const old = [...select.options].map((option) => option.value);
  if (old.join() !== values.join()) {
    select.replaceChildren(...values.map((value) =>
      new Option(data.names[value] || value, value)));
  }
  select.value = chosen;
  select.disabled = values.length < 2;
}

function samples() {
  const set = shown();
  const list = $('samples');
  if (list.dataset.set !== view().images) {
    list.dataset.set = view().images;
    list.replaceChildren(...set.urls.map((url, i) => {
      const button = document.createElement('button');
      const picture = new Image();
      const name = document.createElement('span');
      picture.src = url;
      picture.alt = '';
      name.textContent = set.classes[i];
      button.type = 'button';
      button.title = set.classes[i];
      button.append(picture, name);
      button.onclick = () => change({ sample: i });
      return button;
    }));
  }
  [...list.children].forEach((button, i) =>
    button.setAttribute('aria-pressed', i === choice.sample));
}

function card() {
  for (const each of document.querySelectorAll('.card')) {
    each.hidden = each.dataset.view !== key();
  }
}

function colour(part) {
  return data.colours[Math.round(part * (data.colours.length - 1))];
}

function paintCells(context, values, size, paint) {
  const keys = view().keys;
  values.forEach((value, i) => {
    const left = Math.round((i % keys) * size / keys);
    const top = Math.round(Math.floor(i / keys) * size / keys);
    const right = Math.round((i % keys + 1) * size / keys);
    const bottom = Math.round((Math.floor(i / keys) + 1) * size / keys);
    // 0 to 1, logarithmic; uniform is in the middle.
    const times = Math.log(value * keys * keys) / Math.log(maximum());
    paint(context, Math.min(Math.max((times + 1) / 2, 0), 1));
    context.fillRect(left, top, right - left, bottom - top);
  });
}

function markQuery(context, size) {
  const pitch = size / view().queries;
  const box = [choice.x * pitch, choice.y * pitch, pitch, pitch];
  context.lineWidth = 6;
  context.strokeStyle = '#000';
  context.strokeRect(...box);
  context.lineWidth = 3;
  context.strokeStyle = '#3df';
  context.strokeRect(...box);
}

function drawGrid(context, size) {
  context.strokeStyle = 'rgba(255, 255, 255, .22)';
  context.lineWidth = 1;
  context.beginPath();
  for (let i = 1; i < view().keys; i++) {
    const at = Math.round(i * size / view().keys) + .5;
    context.moveTo(at, 0);
    context.lineTo(at, size);
    context.moveTo(0, at);
    context.lineTo(size, at);
  }
  context.stroke();
}

function draw() {
  const values = row();
  const size = $('look').width;
  const picture = $('samples').children[choice.sample].firstChild;
  if (!picture.complete) picture.decode().then(draw);
  const look = $('look').getContext('2d');
  look.imageSmoothingEnabled = false;
  look.drawImage(picture, 0, 0, size, size);
  // Darkness where the query does not look.
  paintCells(look, values, size, (context, part) => {
    context.fillStyle = `rgba(0, 0, 0, ${.85 * (1 - part)})`;
  });
  if (view().keys <= 64) drawGrid(look, size);
  markQuery(look, size);
  const map = $('row').getContext('2d');
  paintCells(map, values, size, (context, part) => {
    context.fillStyle = colour(part);
  });
  markQuery(map, size);
  tell(values);
}

function tell(values) {
  const { queries, keys, share, gate } = view();
  let best = 0;
  let entropy = 0;
  values.forEach((value, i) => {
    if (value > values[best]) best = i;
    if (value > 0) entropy -= value * Math.log(value);
  });
  const times = values[best] * keys * keys;
  const where = `row ${Math.floor(best / keys)}, column ${best % keys}`;
  $('said').textContent =
    `Query row ${choice.y}, column ${choice.x} of ${queries} x ${queries}` +
    `${held ? ' (held)' : ''}. Most attention at key ${where} of ` +
    `${keys} x ${keys}: ${values[best].toPrecision(3)}, ` +
    `${times.toPrecision(3)} times uniform. It spreads over ` +
    `${Math.exp(entropy).toFixed(1)} of ${keys * keys} keys. ` +
    `In this image the block adds ${(100 * share[choice.sample]).toFixed(1)} %` +
    ` of its input (gate ${gate.toPrecision(3)}).`;
  const list = [...values];
  window.currentRow = { ...choice, queries, keys, row: list };
  $('row').dataset.row = list.join(' ');
  $('row').dataset.query = `${choice.y} ${choice.x}`;
  $('look').setAttribute('aria-label',
    `${shown().classes[choice.sample]}; arrow keys move the query`);
  if ($('numbers').open) numbers(values, keys);
}

function numbers(values, keys) {
  const table = document.createElement('table');
  for (let y = 0; y < keys; y++) {
    const line = table.insertRow();
    for (let x = 0; x < keys; x++) {
      line.insertCell().textContent = values[y * keys + x].toPrecision(3);
    }
  }
  $('table').replaceChildren(table);
}

function scaleBar() {
  $('scale_bar').style.background =
    `linear-gradient(to right, ${data.colours.join(',')})`;
  $('least').textContent = `1/${maximum()} or less`;
  $('most').textContent = `${maximum()} times or more`;
}

function change(changes, remembers = true) {
  Object.assign(choice, changes);
  settle();
  samples();
  card();
  draw();
  if (remembers) {
    clearTimeout(hashTimer);
    hashTimer = setTimeout(() => history.replaceState(
      null, '', `#${new URLSearchParams(choice)}`), 200);
  }
}

function fromHash() {
  const given = Object.fromEntries(
    new URLSearchParams(location.hash.slice(1)));
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(choice, name)) delete given[name];
  }
  held = 'y' in given || 'x' in given;
  change(given, false);
}

function under(event) {
  const box = $('look').getBoundingClientRect();
  const at = (offset, size) => Math.min(
    Math.max(Math.floor(offset / size * view().queries), 0),
    view().queries - 1);
  return {
    y: at(event.clientY - box.top, box.height),
    x: at(event.clientX - box.left, box.width),
  };
}

$('look').onpointermove = (event) => {
  if (event.pointerType !== 'mouse' || !held) change(under(event), false);
};
$('look').onpointerdown = (event) => {
  held = event.pointerType !== 'mouse' || !held;
  change(under(event));
};
$('look').onkeydown = (event) => {
  const moves = {
    ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
  };
  const move = moves[event.key];
  if (event.key === 'Enter' || event.key === ' ') held = !held;
  else if (event.key === 'Escape') held = false;
  else if (!move) return;
  event.preventDefault();
  if (move) held = true;
  const [down, right] = move || [0, 0];
  change({ y: choice.y + down, x: choice.x + right });
};
for (const field of ['step', 'network', 'images', 'block']) {
  $(field).onchange = (event) => change({ [field]: event.target.value });
}
$('maximum').onchange = () => { scaleBar(); draw(); };
$('numbers').ontoggle = draw;
window.onhashchange = fromHash;
scaleBar();
fromHash();
