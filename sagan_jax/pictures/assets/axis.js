// What plots are made of: elements, numbers as text, axes.

function element(tag, attributes, parent, text) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    made.setAttribute(name, value);
  }
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e15 || (size && size < 1e-4)) return value.toExponential(1);
  for (const [unit, name] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
    if (size >= unit) {
      const of = name === 'k' ? 1e3 : unit;
      return Number((value / of).toPrecision(4)) + name;
    }
  }
  return String(Number(value.toPrecision(4)));
}

// A running mean that leaves out gaps; the first values count as much as others.
function smoothed(values, amount) {
  if (!amount) return values;
  let sum = 0, weight = 0;
  return values.map(value => {
    if (value === null) return null;
    sum = amount * sum + (1 - amount) * value;
    weight = amount * weight + (1 - amount);
    return sum / weight;
  });
}

// Round numbers between two others; of logarithms also 2 and 5.
function ticks(low, high, isLog, most) {
  const found = [];
  if (isLog) {
    const decades = Math.log10(high / low);
    const every = Math.max(1, Math.ceil(decades / most));
    const parts = decades < 2 ? [1, 2, 5] : [1];
    const first = Math.floor(Math.log10(low));
    for (let e = first; e <= Math.log10(high); e += every) {
      for (const part of parts) found.push(part * 10 ** e);
    }
  } else {
    const raw = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].find(x => x * power >= raw) * power;
    for (let i = Math.ceil(low / step); i * step <= high; i++) {
      found.push(i * step);
    }
  }
  return found.filter(value => value >= low && value <= high);
}

class Axis {
  constructor(values, isLog, from, to, pad) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value === null || (isLog && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    this.isEmpty = low > high;
    if (this.isEmpty) [low, high] = [1, 10];
    if (isLog) {
      const factor = low === high ? 2 : (high / low) ** pad;
      [low, high] = [low / factor, high * factor];
    } else {
      const more = low === high ? Math.abs(low) / 10 || 1 : (high - low) * pad;
      [low, high] = [low - more, high + more];
    }
    Object.assign(this, {low, high, isLog, from, to});
  }

  place(value) {
    if (value === null || (this.isLog && value <= 0)) return null;
    const part = this.isLog
      ? Math.log(value / this.low) / Math.log(this.high / this.low)
      : (value - this.low) / (this.high - this.low);
    return this.from + part * (this.to - this.from);
  }

  value(place) {
    const part = (place - this.from) / (this.to - this.from);
    return this.isLog
      ? this.low * (this.high / this.low) ** part
      : this.low + part * (this.high - this.low);
  }
}
