// Results go out, as pictures and as other programs' data.

const jsonFile = (data) => new Blob([JSON.stringify(data)], { type: "application/json" });
const textFile = (lines) => new Blob(lines.map((line) => `${line}\n`), { type: "text/plain" });

/** What the server gives in each format, as files by their names, and what these could not hold. */
const FILES = {
  coco: (data, { name }, stem) => {
    data.images[0].file_name = name;
    return { files: { [`${stem}.coco.json`]: jsonFile(data) } };
  },
  yolo: ({ names, lines, notes }, _, stem) => ({ files: { [`${stem}.txt`]: textFile(lines), "classes.txt": textFile(names) }, notes }),
  labelstudio: async ({ tasks, label_config: config }, { blob }, stem) => {
    tasks[0].data.image = await dataAddress(blob);
    return { files: { [`${stem}.labelstudio.json`]: jsonFile(tasks), [`${stem}.labelstudio.xml`]: textFile([config]) } };
  },
};

function dataAddress(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

function saveFile(name, blob) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** The picture in its own size, with the masks that are shown. */
function paintedPicture() {
  const { picture } = state.now;
  const canvas = make("canvas", { width: picture.width, height: picture.height });
  const context = canvas.getContext("2d");
  context.drawImage(picture.pixels, 0, 0, picture.width, picture.height);
  paintMasks(context, 1, picture.width);
  paintNames(context, 1, picture.width);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

async function download(kind) {
  const { picture, asked } = state.now;
  const stem = picture.name.replace(/\.[^.]*$/, "");
  await run("Writing", async (options) => {
    const { files, notes } = kind === "png" ? { files: { [`${stem}.masks.png`]: await paintedPicture() } } : await fetchFiles(kind, asked, stem, options);
    for (const [name, blob] of Object.entries(files)) saveFile(name, blob);
    say([`Saved ${Object.keys(files).join(" and ")}.`, ...(notes ?? [])].join(" "));
  });
}

/** The last result anew, in a format. */
async function fetchFiles(kind, { picture, verb, body }, stem, options) {
  const answer = await askAbout(picture, verb, body, { ...options, query: `?format=${kind}` });
  return FILES[kind](await answer.json(), picture, stem);
}

function startDownload() {
  const menu = find("download");
  for (const button of all("[data-download]")) {
    button.addEventListener("click", () => {
      menu.open = false;
      download(button.dataset.download);
    });
  }
  addEventListener("click", ({ target }) => {
    if (!menu.contains(target)) menu.open = false;
  });
  onChange(({ asked }) => {
    for (const button of all("[data-download]")) button.disabled = button.dataset.download !== "png" && !asked;
  });
}

