// What the page shows, and what it asks the model.

const SCENES = ["scenes/1.webp", "scenes/2.webp", "scenes/3.webp"];
const element = (id) => document.getElementById(id);
const context = element("picture").getContext("2d", { willReadFrequently: true });
const buttons = [...document.querySelectorAll("button")];
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let picture = null;
let asked = 0;

worker.onmessage = ({ data: { id, result, error, text, ready, failed } }) => {
  if (text) say(`${text} …`);
  if (ready) show(SCENES[0]);
  if (failed) say(`The model is not here (${failed}). How to put it here: docs/export.md, “In the browser”.`);
  if (!waiting.has(id)) return;
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error) reject(new Error(error));
  else resolve(result);
};
worker.onerror = ({ message }) => say(`onnxruntime-web is not here (${message ?? "no such file"}). ` +
  "How to put it here: docs/export.md, “In the browser”.");

function ask(verb, argument) {
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ id: asked, verb, argument });
  });
}

function say(text) {
  element("status").textContent = text;
}

// Runs something long; nothing else can be asked meanwhile.
async function busy(name, work) {
  const began = performance.now();
  for (const button of buttons) button.disabled = true;
  say(`${name} …`);
  try {
    await work();
    say(`${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  } catch (error) {
    say(`${name}: ${error.message}`);
  }
  for (const button of buttons) button.disabled = picture === null;
}

function show(source) {
  return busy("reading the picture", async () => {
    const blob = source instanceof Blob ? source : await (await fetch(source)).blob();
    const bitmap = await createImageBitmap(blob);
    const { width, height } = bitmap;
    Object.assign(element("picture"), { width, height });
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    picture = context.getImageData(0, 0, width, height);
    element("found").replaceChildren();
    element("caption").textContent = "";
    for (const image of element("scenes").children) image.ariaPressed = String(image.dataset.source === source);
    await ask("encode", { data: picture.data, width, height });
  });
}

// Paints regions over the picture and lists them.
function paint({ ids, segments }) {
  const painted = new ImageData(new Uint8ClampedArray(picture.data), picture.width, picture.height);
  const colors = segments.map((_, i) => hue((i * 137.5) % 360));
  const pixels = segments.map(() => 0);
  ids.forEach((id, pixel) => {
    if (!id) return;
    pixels[id - 1]++;
    for (let c = 0; c < 3; c++) {
      painted.data[4 * pixel + c] = 0.45 * painted.data[4 * pixel + c] + 0.55 * colors[id - 1][c];
    }
  });
  context.putImageData(painted, 0, 0);
  element("found").replaceChildren(...segments.map(({ label, score }, i) => {
    const item = document.createElement("li");
    item.style.setProperty("--color", `rgb(${colors[i].join(" ")})`);
    item.dataset.label = label;
    item.dataset.pixels = pixels[i];
    item.textContent = `${label}, ${score.toFixed(2)}, ${((100 * pixels[i]) / ids.length).toFixed(1)} % of the picture`;
    return item;
  }));
}

function hue(degrees) {
  return [0, 8, 4].map((n) => {
    const k = (n + degrees / 30) % 12;
    return Math.round(255 * (0.5 - 0.45 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}

for (const source of SCENES) {
  const image = new Image();
  Object.assign(image, { src: source, alt: "a drawn scene", onclick: () => show(source) });
  image.dataset.source = source;
  image.setAttribute("role", "button");
  element("scenes").append(image);
}
element("file").onchange = ({ target }) => target.files.length && show(target.files[0]);
element("segment").onsubmit = (event) => {
  event.preventDefault();
  const classes = element("classes").value.split(",").map((name) => name.trim()).filter(Boolean);
  busy("segmenting", async () => paint(await ask("segment", classes.length ? classes : undefined)));
};
element("refer").onsubmit = (event) => {
  event.preventDefault();
  busy("finding", async () => paint(await ask("refer", element("phrase").value.trim())));
};
element("describe").onsubmit = (event) => {
  event.preventDefault();
  busy("describing", async () => { element("caption").textContent = await ask("caption"); });
};
