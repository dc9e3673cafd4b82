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

/** A mask, row by row, and the box around it, from run lengths, which go column by column. */
function decodeMask({ size: [height, width], counts }) {
  const pixels = new Uint8Array(height * width);
  const box = { left: width, top: height, right: 0, bottom: 0 };
  let at = 0, value = 0;
  for (const count of typeof counts === "string" ? readCounts(counts) : counts) {
    for (let end = at + count; value && at < end; at++) {
      const x = Math.floor(at / height), y = at % height;
      pixels[y * width + x] = 1;
      if (x < box.left) box.left = x;
      if (x >= box.right) box.right = x + 1;
      if (y < box.top) box.top = y;
      if (y >= box.bottom) box.bottom = y + 1;
    }
    if (!value) at += count;
    value = 1 - value;
  }
  return { pixels, width, height, box };
}

/** The run lengths of a mask. */
function encodeMask({ pixels, width, height }) {
  const counts = [];
  let run = 0, value = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const next = pixels[y * width + x];
      if (next !== value) {
        counts.push(run);
        run = 0;
        value = next;
      }
      run++;
    }
  }
  counts.push(run);
  return { size: [height, width], counts };
}

/**
 * The outlines of a mask along the edges of its pixels, as rings of corners [x, y]: clockwise around its
 * parts, the other way around holes.
 */
function traceRings({ pixels, width, height, box }) {
  const wide = box.right - box.left + 1, tall = box.bottom - box.top + 1;
  if (wide < 2) return [];
  const edges = new Uint8Array(wide * tall); // which edges begin at a corner
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && pixels[y * width + x];
  for (let y = box.top; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++) {
      if (!pixels[y * width + x]) continue;
      const corner = (y - box.top) * wide + x - box.left;
      if (!inside(x, y - 1)) edges[corner] |= RIGHT;
      if (!inside(x + 1, y)) edges[corner + 1] |= DOWN;
      if (!inside(x, y + 1)) edges[corner + wide + 1] |= LEFT;
      if (!inside(x - 1, y)) edges[corner + wide] |= UP;
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
function widestPlace({ pixels, width, box }) {
  const middle = (box.top + box.bottom) / 2;
  let best = -Infinity, place = [box.left, middle];
  for (let y = box.top; y < box.bottom; y += 1 + ((box.bottom - box.top) >> 7)) {
    for (let x = box.left; x < box.right; x++) {
      if (!pixels[y * width + x]) continue;
      const begin = x;
      while (x < box.right && pixels[y * width + x]) x++;
      const worth = x - begin - 0.8 * Math.abs(y - middle);
      if (worth > best) [best, place] = [worth, [(begin + x) / 2, y + 0.5]];
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

