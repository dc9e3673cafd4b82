// The region that is meant: a segment that is clicked, a box, a lasso.

const LEAST_SIDE = 2;

const chosenTool = () => find("work").querySelector("[name=tool]:checked").value;

/** A point of the picture under the pointer, within its borders. */
function pointOf(event) {
  const { picture } = state.now;
  const place = find("canvas").getBoundingClientRect();
  const share = (at, from, length) => Math.min(1, Math.max(0, (at - from) / length));
  return [
    share(event.clientX, place.left, place.width) * picture.width,
    share(event.clientY, place.top, place.height) * picture.height,
  ];
}

/** The smallest of the masks that are shown at a point. */
function maskAt([x, y]) {
  const context = find("canvas").getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  return shownMasks()
    .filter(({ box, path }) => x >= box.left && x < box.right && y >= box.top && y < box.bottom && context.isPointInPath(path, x, y, "evenodd"))
    .sort((a, b) => a.area - b.area)[0] ?? null;
}

function light(mask) {
  if (state.lit === mask) return;
  state.lit = mask;
  for (const row of find("legend").children) row.classList.toggle("lit", row.mask === mask);
  draw();
}

function chooseRegion(region) {
  change({ region });
  openTab("region");
  say(`Region: ${region.name}.`);
}

function chooseMask(mask) {
  chooseRegion({ name: mask.label, path: mask.path, rings: mask.rings, sent: mask.segmentation });
}

function chooseBox(left, top, right, bottom) {
  const rings = [[[left, top], [right, top], [right, bottom], [left, bottom]]];
  const name = `box ${left}, ${top} to ${right}, ${bottom}`;
  chooseRegion({ name, path: ringsPath(rings), rings, sent: [left, top, right, bottom] });
}

function chooseLasso(points, [left, top, right, bottom]) {
  const { width, height } = state.now.picture;
  const wide = right - left, tall = bottom - top;
  const context = make("canvas", { width: wide, height: tall }).getContext("2d");
  context.translate(-left, -top);
  context.fill(ringsPath([points]));
  const colors = context.getImageData(0, 0, wide, tall).data;
  const pixels = new Uint8Array(wide * tall);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colors[4 * i + 3] > 127 ? 1 : 0;
  const mask = { pixels, box: { left, top, right, bottom } };
  const rings = traceRings(mask);
  if (rings.length) chooseRegion({ name: "lasso", path: ringsPath(rings), rings, sent: encodeMask(mask, [height, width]) });
}

function boxOf([[ax, ay], [bx, by]]) {
  const { width, height } = state.now.picture;
  return [
    Math.max(0, Math.floor(Math.min(ax, bx))), Math.max(0, Math.floor(Math.min(ay, by))),
    Math.min(width, Math.ceil(Math.max(ax, bx))), Math.min(height, Math.ceil(Math.max(ay, by))),
  ];
}

function dragPath(tool, points) {
  const path = new Path2D();
  if (tool === "box") {
    const [left, top, right, bottom] = boxOf([points[0], points.at(-1)]);
    path.rect(left, top, right - left, bottom - top);
  } else {
    points.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
  }
  return path;
}

function endDrag(tool, points) {
  const box = boxOf([
    [Math.min(...points.map(([x]) => x)), Math.min(...points.map(([, y]) => y))],
    [Math.max(...points.map(([x]) => x)), Math.max(...points.map(([, y]) => y))],
  ]);
  const [left, top, right, bottom] = box;
  if (right - left < LEAST_SIDE || bottom - top < LEAST_SIDE) return draw();
  if (tool === "box") chooseBox(left, top, right, bottom);
  else chooseLasso(points, box);
}

function startRegion() {
  const canvas = find("canvas");
  let points = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (chosenTool() === "pick" || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    points = [pointOf(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!state.now.picture) return;
    if (!points) return light(chosenTool() === "pick" ? maskAt(pointOf(event)) : null);
    points.push(pointOf(event));
    drawing.drag = dragPath(chosenTool(), points);
    draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const drawn = points;
    points = drawing.drag = null;
    if (drawn) return endDrag(chosenTool(), drawn);
    const mask = chosenTool() === "pick" && maskAt(pointOf(event));
    if (mask) chooseMask(mask);
  });
  canvas.addEventListener("pointercancel", () => {
    points = drawing.drag = null;
    draw();
  });
  canvas.addEventListener("pointerleave", () => light(null));
  for (const tool of all("[name=tool]")) tool.addEventListener("change", () => (canvas.dataset.tool = chosenTool()));
  find("box").addEventListener("submit", (event) => {
    event.preventDefault();
    const { width, height } = state.now.picture;
    const [left, top, right, bottom] = ["left", "top", "right", "bottom"].map((name) => event.target.elements[name].valueAsNumber);
    if (left < right && top < bottom && right <= width && bottom <= height) return chooseBox(left, top, right, bottom);
    say(`A box lies within ${width} x ${height} pixels, its left before its right, its top above its bottom.`);
  });
  find("clear-region").addEventListener("click", () => change({ region: null }));
  find("copy-region").addEventListener("click", () => copyPolygon(state.now.region));
  onChange(({ region, picture }) => {
    find("region-name").textContent = region ? region.name : "the whole picture";
    for (const id of ["clear-region", "copy-region", "edit-button"]) find(id).disabled = !region;
    find("edit-hint").hidden = Boolean(region);
    if (!picture) return;
    for (const [name, most] of [["left", picture.width], ["right", picture.width], ["top", picture.height], ["bottom", picture.height]]) {
      find("box").elements[name].max = most;
    }
  });
}

function copyPolygon({ name, label, rings }) {
  const { polygons, holes } = toPolygons(rings);
  const filled = holes ? ` Without its ${holes === 1 ? "hole" : `${holes} holes`}, which COCO's polygons cannot say.` : "";
  copyText(JSON.stringify(polygons), `Copied the polygon of ${label ?? name}.${filled}`);
}

