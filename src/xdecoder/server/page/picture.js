// Pictures come in: files, what is pasted or dropped, drawn samples.

const SAMPLES = 4;
const MOST_SAMPLES = 10000;

const server = { limits: { bytes: Infinity, pixels: Infinity } }; // what it takes, when that is known

/** The pixels of a picture, shrunk where the server takes no larger one, and the file to be sent. */
async function readPicture(file) {
  let pixels;
  try {
    pixels = await createImageBitmap(file);
  } catch {
    throw new ServerError(415, "this browser cannot show that file as a picture; save it as PNG or JPEG first");
  }
  const scale = Math.min(1, Math.sqrt(server.limits.pixels / (pixels.width * pixels.height)));
  if (scale === 1 && file.size <= server.limits.bytes) return { pixels, blob: file };
  const width = Math.floor(pixels.width * scale), height = Math.floor(pixels.height * scale);
  const canvas = make("canvas", { width, height });
  canvas.getContext("2d").drawImage(pixels, 0, 0, width, height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  return { pixels: canvas, blob, note: `The picture is larger than this server takes: it was made a JPEG of ${width} x ${height} pixels.` };
}

/** A picture ready to be asked about. */
async function keepPicture(file, name, options, hints = {}) {
  const { pixels, blob, note } = await readPicture(file);
  const { id, width, height } = await sendPicture(blob, options);
  return { pixels, blob, note, id, width, height, name, ...hints };
}

async function openPicture(file, name, hints) {
  if (!file.type.startsWith("image/")) return say("That is no picture.");
  const picture = await run("Reading the picture", (options) => keepPicture(file, name, options, hints));
  if (!picture) return;
  begin({ picture });
  openTab("segment");
  scrollTo(0, 0);
  await segment({});
}

async function fetchSample(seed, options) {
  const { png, ...hints } = await (await request(`/v1/samples/${seed}`, options)).json();
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  return { file: new Blob([bytes], { type: "image/png" }), hints, name: `scene-${seed}.png` };
}

async function showSamples(first) {
  const seeds = Array.from({ length: SAMPLES }, (_, i) => (first + i) % MOST_SAMPLES);
  const samples = await run("Drawing", (options) => Promise.all(seeds.map((seed) => fetchSample(seed, options))));
  if (!samples) return;
  const cards = samples.map(({ file, hints, name }, i) => {
    const picture = make("img", { src: URL.createObjectURL(file), alt: "", width: 480, height: 480 });
    picture.onload = () => URL.revokeObjectURL(picture.src);
    const button = make("button", { type: "button", "aria-label": `Drawn scene ${i + 1}` }, picture);
    button.addEventListener("click", () => openPicture(file, name, hints));
    return make("li", {}, button);
  });
  find("samples").replaceChildren(...cards);
}

function showHints(list, texts) {
  list.hidden = !texts?.length;
  const chips = (texts ?? []).map((text) => {
    const chip = make("button", { type: "button", className: "chip" }, text);
    chip.addEventListener("click", () => {
      const field = find(list.dataset.into);
      const lines = field.tagName === "TEXTAREA" && field.value.trim() ? `${field.value.trimEnd()}\n` : "";
      field.value = lines + text;
      field.focus();
    });
    return chip;
  });
  list.replaceChildren(...chips);
}

function startPicture() {
  find("file").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) openPicture(file, file.name);
  });
  addEventListener("paste", ({ clipboardData }) => {
    const file = [...clipboardData.files].find(({ type }) => type.startsWith("image/"));
    if (file) openPicture(file, file.name || "pasted.png");
  });
  let inside = 0; // elements that a dragged file is over
  const mark = (change) => {
    inside = change ? inside + change : 0;
    document.body.classList.toggle("dropping", inside > 0);
  };
  const onFiles = (name, action) => addEventListener(name, (event) => event.dataTransfer.types.includes("Files") && action(event));
  onFiles("dragenter", () => mark(1));
  onFiles("dragleave", () => mark(-1));
  onFiles("dragover", (event) => event.preventDefault());
  onFiles("drop", (event) => {
    event.preventDefault();
    mark(0);
    const [file] = event.dataTransfer.files;
    if (file) openPicture(file, file.name);
  });
  find("more-samples").addEventListener("click", () => showSamples(Math.floor(Math.random() * MOST_SAMPLES)));
  find("again").addEventListener("click", () => {
    begin({});
    find("file").focus();
  });
  onChange(({ picture }, before) => {
    find("start").hidden = Boolean(picture);
    find("work").hidden = !picture;
    if (picture === before.picture) return;
    for (const list of all("[data-from]")) showHints(list, picture?.[list.dataset.from]);
    find("picture-note").hidden = !picture?.note;
    find("picture-note").textContent = picture?.note ?? "";
    fitCanvas();
  });
}

