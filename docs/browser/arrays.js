// Numbers in rows: resizing, normalizing, sorting.

// For each of `to` cells, the first of `from` cells that it is made of and their weights: bicubic, antialiased
// (a = -0.5), as Pillow and xdecoder/networks/resampling.py resize.
function taps(from, to) {
  const scale = from / to;
  const width = Math.max(scale, 1);
  return Array.from({ length: to }, (_, cell) => {
    const center = (cell + 0.5) * scale;
    const first = Math.max(Math.trunc(center - 2 * width + 0.5), 0);
    const last = Math.min(Math.trunc(center + 2 * width + 0.5), from);
    const weights = [];
    for (let i = first; i < last; i++) {
      const x = Math.abs((i + 0.5 - center) / width);
      weights.push(x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0);
    }
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

// A map (rows x columns) resized to `size`; `finish` says what a number becomes, in both passes.
export function resize(map, [rows, columns], [toRows, toColumns], finish = (value) => value) {
  const across = taps(columns, toColumns);
  const wide = new Float32Array(rows * toColumns);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < toColumns; x++) {
      const { first, weights } = across[x];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * map[y * columns + first + i];
      wide[y * toColumns + x] = finish(sum);
    }
  }
  const result = new Float32Array(toRows * toColumns);
  taps(rows, toRows).forEach(({ first, weights }, y) => {
    for (let x = 0; x < toColumns; x++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * wide[(first + i) * toColumns + x];
      result[y * toColumns + x] = finish(sum);
    }
  });
  return result;
}

// The top left corner of a map.
export function crop(map, columns, [toRows, toColumns]) {
  const result = new Float32Array(toRows * toColumns);
  for (let y = 0; y < toRows; y++) {
    result.set(map.subarray(y * columns, y * columns + toColumns), y * toColumns);
  }
  return result;
}

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

export function normalize(row) {
  const norm = Math.sqrt(dot(row, row)) + 1e-7;
  return row.map((value) => value / norm);
}

export function softmax(row) {
  const largest = Math.max(...row);
  const powers = row.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

export const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// The rows of a tensor's last axis.
export function rowsOf({ data, dims }) {
  const width = dims.at(-1);
  return Array.from({ length: data.length / width }, (_, i) => data.subarray(i * width, (i + 1) * width));
}

// The places of the largest values, best first.
export function best(values, count) {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b).slice(0, count);
}
