// Results go out, as pictures and as other programs' data.

const DATA = { coco: { extension: "coco.json", name: "COCO" } };

function saveFile(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`Saved ${name}.`);
}

/** The picture in its own size, with the masks that are shown. */
function paintedPicture() {
  const { picture } = state.now;
  const canvas = make("canvas", { width: picture.width, height: picture.height });
  const context = canvas.getContext("2d");
  context.drawImage(picture.pixels, 0, 0, picture.width, picture.height);
  paintMasks(context, 1, picture.width);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

async function download(kind) {
  const { picture, asked } = state.now;
  const stem = picture.name.replace(/\.[^.]*$/, "");
  if (kind === "png") return saveFile(await paintedPicture(), `${stem}.masks.png`);
  const { extension, name } = DATA[kind];
  await run(`Writing ${name}`, async (options) => {
    const answer = await askAbout(asked.picture, asked.verb, asked.body, { ...options, query: `?format=${kind}` });
    saveFile(await answer.blob(), `${stem}.${extension}`);
  });
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

