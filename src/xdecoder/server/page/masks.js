// Masks: COCO's run lengths to outlines and back.

const RIGHT = 1, DOWN = 2, LEFT = 4, UP = 8;
const STEP = { [RIGHT]: [1, 0], [DOWN]: [0, 1], [LEFT]: [-1, 0], [UP]: [0, -1] };
const TURNED = { [RIGHT]: DOWN, [DOWN]: LEFT, [LEFT]: UP, [UP]: RIGHT }; // to the right hand

/** The run lengths that a compressed code stands for. */
function readCounts(text) {
  const counts = [];
  for (let at = 0; at < text.length; ) {
    let value = 0, shift = 0, code;
    do {
      code = text.charCodeAt(at++) - 48;
      value |= (code & 31) << shift;
      shift += 5;
    } while (code & 32);
    if (code & 16) value |= -1 << shift;
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

/** The box around a mask, from its run lengths, which go column by column. */
function runsBox([height, width], counts) {
  const box = { left: width, top: height, right: 0, bottom: 0 };
  for (let i = 1, at = counts[0]; i < counts.length; at += counts[i] + (counts[i + 1] ?? 0), i += 2) {
    if (!counts[i]) continue;
    const last = at + counts[i] - 1;
    const left = Math.floor(at / height), right = Math.floor(last / height);
    box.left = Math.min(box.left, left);
    box.right = Math.max(box.right, right + 1);
    box.top = Math.min(box.top, left === right ? at % height : 0);
    box.bottom = Math.max(box.bottom, left === right ? (last % height) + 1 : height);
  }
  return box.right ? box : { left: 0, top: 0, right: 0, bottom: 0 };
}

/** A mask's pixels within the box around it, row by row. */
function decodeMask({ size, counts: code }) {
  const [height] = size;
  const counts = typeof code === "string" ? readCounts(code) : code;
  const box = runsBox(size, counts);
  const wide = box.right - box.left;
  const pixels = new Uint8Array(wide * (box.bottom - box.top));
  for (let i = 1, at = counts[0]; i < counts.length; at += counts[i + 1] ?? 0, i += 2) {
    for (let end = at + counts[i]; at < end; ) {
      const x = Math.floor(at / height), y = at % height;
      const stop = Math.min(end, (x + 1) * height);
      for (let place = (y - box.top) * wide + x - box.left; at < stop; at++, place += wide) pixels[place] = 1;
    }
  }
  return { pixels, box };
}

/** The run lengths of a mask in a picture of this height and width. */
function encodeMask({ pixels, box }, size) {
  const [height, width] = size;
  const wide = box.right - box.left;
  const counts = [];
  let at = 0; // how far the counts reach
  for (let x = box.left; x < box.right; x++) {
    for (let y = box.top; y < box.bottom; y++) {
      if (!pixels[(y - box.top) * wide + x - box.left]) continue;
      const place = x * height + y;
      if (counts.length && place === at) counts[counts.length - 1]++;
      else counts.push(place - at, 1);
      at = place + 1;
    }
  }
  counts.push(height * width - at);
  return { size, counts };
}

/**
 * The outlines of a mask along the edges of its pixels, as rings of corners [x, y]: clockwise around its
 * parts, the other way around holes.
 */
function traceRings({ pixels, box }) {
  const width = box.right - box.left, height = box.bottom - box.top, wide = width + 1;
  const edges = new Uint8Array(wide * (height + 1)); // which edges begin at a corner
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const place = y * width + x;
      if (!pixels[place]) continue;
      const corner = y * wide + x;
      if (y === 0 || !pixels[place - width]) edges[corner] |= RIGHT;
      if (x + 1 === width || !pixels[place + 1]) edges[corner + 1] |= DOWN;
      if (y + 1 === height || !pixels[place + width]) edges[corner + wide + 1] |= LEFT;
      if (x === 0 || !pixels[place - 1]) edges[corner + wide] |= UP;
    }
  }
  const rings = [];
  for (let start = 0; start < edges.length; start++) {
    while (edges[start]) rings.push(followRing(edges, start, wide, box));
  }
  return rings;
}

function followRing(edges, start, wide, box) {
  const first = edges[start] & -edges[start];
  const ring = [];
  let corner = start, direction = first, last = 0;
  do {
    if (direction !== last) ring.push([(corner % wide) + box.left, Math.floor(corner / wide) + box.top]);
    if (corner !== start || direction !== first) edges[corner] &= ~direction;
    const [x, y] = STEP[direction];
    corner += y * wide + x;
    last = direction;
    const open = edges[corner];
    direction = open & TURNED[last] ? TURNED[last] : open & last ? last : open & -open; // parts that touch at a corner stay apart
  } while (corner !== start || direction !== first);
  edges[start] &= ~first;
  if (last === first) ring.shift();
  return ring;
}

/** A ring's area, over 0 around a part, under 0 around a hole. */
function ringArea(ring) {
  let twice = 0;
  ring.forEach(([x, y], i) => {
    const [nextX, nextY] = ring[(i + 1) % ring.length];
    twice += x * nextY - nextX * y;
  });
  return twice / 2;
}

/** A ring with fewer points, none of the others farther than so many pixels from it (Douglas and Peucker). */
function simplifyRing(ring, tolerance) {
  if (ring.length < 5) return ring;
  const half = ring.length >> 1;
  const line = [...ring, ring[0]];
  const kept = new Set([0, half, ring.length]);
  const spans = [[0, half], [half, ring.length]];
  while (spans.length) {
    const [from, to] = spans.pop();
    const [ax, ay] = line[from], dx = line[to][0] - ax, dy = line[to][1] - ay;
    const length = Math.hypot(dx, dy) || 1;
    let far = tolerance, place = 0;
    for (let i = from + 1; i < to; i++) {
      const distance = Math.abs(dx * (line[i][1] - ay) - dy * (line[i][0] - ax)) / length;
      if (distance > far) [far, place] = [distance, i];
    }
    if (place) {
      kept.add(place);
      spans.push([from, place], [place, to]);
    }
  }
  const points = ring.filter((_, i) => kept.has(i));
  return points.length < 3 ? ring : points;
}

function ringsPath(rings) {
  const path = new Path2D();
  for (const ring of rings) {
    ring.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  return path;
}

/** Where a name stands: in the middle of the longest row of the mask's pixels, near its middle if it can. */
function widestPlace({ pixels, box }) {
  const width = box.right - box.left, height = box.bottom - box.top;
  let best = -Infinity, place = [box.left, box.top];
  for (let y = 0; y < height; y += 1 + (height >> 7)) {
    for (let x = 0; x < width; x++) {
      if (!pixels[y * width + x]) continue;
      const begin = x;
      while (x < width && pixels[y * width + x]) x++;
      const worth = x - begin - 0.8 * Math.abs(y - height / 2);
      if (worth > best) [best, place] = [worth, [box.left + (begin + x) / 2, box.top + y + 0.5]];
    }
  }
  return place;
}

/** A mask that the server gave, ready to be drawn. */
function readMask({ label, score, area, segmentation }, color) {
  const mask = decodeMask(segmentation);
  const rings = traceRings(mask);
  return { label, score, area, color, segmentation, rings, box: mask.box, path: ringsPath(rings), place: widestPlace(mask) };
}

/** The outer outlines as COCO writes polygons, [[x, y, x, y, ...], ...], and how many holes are not in them. */
function toPolygons(rings) {
  const parts = rings.filter((ring) => ringArea(ring) > 0);
  return { polygons: parts.map((ring) => simplifyRing(ring, 0.8).flat()), holes: rings.length - parts.length };
}

