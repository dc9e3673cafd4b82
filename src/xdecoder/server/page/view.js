// Draws the picture, its masks, their names and the region.

const MASK_OPACITY = 0.5;
const NAMED_FROM = 0.004; // of the picture's area

const drawing = { drag: null };

/** Pixels of the canvas for each of the picture's. */
function viewScale() {
  return find("canvas").width / state.now.picture.width;
}

function shownMasks() {
  return state.now.masks.filter((mask) => !state.hidden.has(mask));
}

/** Fits the canvas into its place: as wide as there is room, no higher than most of the window. */
function fitCanvas() {
  const { picture } = state.now;
  if (!picture) return;
  const canvas = find("canvas");
  const room = find("view").clientWidth;
  const wide = Math.min(room, (Math.max(240, innerHeight * 0.66) * picture.width) / picture.height);
  const dense = Math.min(devicePixelRatio || 1, 2);
  canvas.width = Math.max(1, Math.round(wide * dense));
  canvas.height = Math.max(1, Math.round((wide * dense * picture.height) / picture.width));
  canvas.style.width = `${wide}px`;
  draw();
}

function draw() {
  const { picture, region } = state.now;
  if (!picture) return;
  const canvas = find("canvas");
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(picture.pixels, 0, 0, canvas.width, canvas.height);
  const scale = viewScale();
  paintMasks(context, scale, canvas.width);
  for (const path of [region?.path, drawing.drag]) if (path) outline(context, path, scale);
  paintNames(context, scale, canvas.width);
}

const largestFirst = () => [...shownMasks()].sort((a, b) => b.area - a.area);

/** The masks over a picture; `wide` is the width of what is drawn on. */
function paintMasks(context, scale, wide) {
  context.save();
  context.scale(scale, scale);
  context.lineJoin = "round";
  for (const mask of largestFirst()) {
    const dim = state.lit && state.lit !== mask;
    context.globalAlpha = dim ? 0.12 : state.lit ? 0.68 : MASK_OPACITY;
    context.fillStyle = mask.color;
    context.fill(mask.path, "evenodd");
    context.globalAlpha = dim ? 0.2 : 1;
    context.strokeStyle = mask.color;
    context.lineWidth = (state.lit === mask ? 3 : 1.5) * Math.max(1, wide / 700) / scale;
    context.stroke(mask.path);
  }
  context.restore();
}

/** The masks' names, none over another; of a mask that is lit, its alone. */
function paintNames(context, scale, wide) {
  const { picture } = state.now;
  const size = Math.max(11, Math.min(22, wide / 42)) * (wide > 1200 ? wide / 1200 : 1);
  const taken = [];
  context.save();
  context.font = `600 ${size}px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  for (const mask of state.lit ? [state.lit] : largestFirst()) {
    if (!state.lit && mask.area < NAMED_FROM * picture.width * picture.height) continue;
    const half = context.measureText(mask.label).width / 2 + size * 0.5, tall = size * 0.8;
    const x = Math.min(Math.max(mask.place[0] * scale, half + 2), wide - half - 2);
    const y = Math.min(Math.max(mask.place[1] * scale, tall + 2), (wide * picture.height) / picture.width - tall - 2);
    if (taken.some(([a, b, w, h]) => Math.abs(a - x) < w + half && Math.abs(b - y) < h + tall)) continue;
    taken.push([x, y, half, tall]);
    context.fillStyle = "rgb(16 15 13 / .82)";
    context.beginPath();
    context.roundRect(x - half, y - tall, 2 * half, 2 * tall, tall);
    context.fill();
    context.fillStyle = "#fff";
    context.fillText(mask.label, x, y);
  }
  context.restore();
}

/** A dashed line in black and white, to be seen on everything. */
function outline(context, path, scale) {
  const dense = Math.min(devicePixelRatio || 1, 2);
  context.save();
  context.scale(scale, scale);
  for (const [color, wide, dashes] of [["rgb(0 0 0 / .75)", 4, []], ["#fff", 2, [7, 5]]]) {
    context.strokeStyle = color;
    context.lineWidth = (wide * dense) / scale;
    context.setLineDash(dashes.map((length) => (length * dense) / scale));
    context.stroke(path);
  }
  context.restore();
}

function describePicture({ picture, masks, region }) {
  if (!picture) return "The picture";
  const names = [...new Set(masks.map((mask) => mask.label))].join(", ");
  const found = masks.length ? ` Masks: ${names}.` : " No masks yet.";
  return `${picture.name}, ${picture.width} by ${picture.height} pixels.${found}${region ? ` Region: ${region.name}.` : ""}`;
}

function startView() {
  new ResizeObserver(() => {
    if (find("view").clientWidth !== drawing.room) fitCanvas();
    drawing.room = find("view").clientWidth;
  }).observe(find("view"));
  onChange((now, before) => {
    find("canvas").setAttribute("aria-label", describePicture(now));
    if (now.picture !== before.picture) fitCanvas();
    else draw();
  });
}

