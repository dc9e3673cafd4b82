// Searches the index, by words, by the picture or by its region.

const THUMBNAIL = 384;

async function searchIndex() {
  const by = find("search").querySelector("[name=by]:checked").value;
  const query = find("query").value.trim();
  const { picture, region } = state.now;
  if (by === "words" && !query) return say("Write some words to search by.");
  if (by === "region" && !region) return say("Choose a region first: click a segment, draw a box or a lasso.");
  const body = readOptions(find("search"));
  if (by === "words") body.query = query;
  if (by === "region") Object.assign(body, { region: region.sent, kind: "regions" });
  await showFound(by === "words" ? null : picture, body, find("search-summary"), find("hits"));
}

async function showFound(picture, body, summary, list) {
  await run("Searching", async (options) => {
    const { hits, kind, searched } = await (await askAbout(picture, "search", body, options)).json();
    const colors = await labelColors(hits.flatMap(({ region }) => region?.label ?? []), options);
    list.replaceChildren(...await Promise.all(hits.map((hit) => hitCard(hit, colors, options))));
    summary.textContent = hits.length ? `The best ${hits.length} of ${searched} ${kind === "regions" ? "regions" : "images"}.` : "Nothing in the index fits.";
    say(summary.textContent);
  });
}

async function hitCard(hit, colors, options) {
  const canvas = make("canvas", { role: "img", "aria-label": hit.region ? `${hit.name}, with ${hit.region.label} marked` : hit.name });
  const button = make("button", { type: "button", title: "Open this picture" }, canvas, make("span", { className: "name" }, hit.name));
  const label = hit.region ? `${hit.region.label} · ` : "";
  button.append(make("small", {}, `${label}${hit.similarity.toFixed(3)}`));
  button.addEventListener("click", () => openHit(hit));
  try {
    const pixels = await createImageBitmap(await fetchHit(hit, THUMBNAIL, options));
    Object.assign(canvas, { width: pixels.width, height: pixels.height });
    const context = canvas.getContext("2d");
    context.drawImage(pixels, 0, 0);
    if (hit.region) paintHit(context, hit, pixels.width / hit.width, colors[hit.region.label]);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    canvas.replaceWith(make("p", { className: "hint" }, `${capitalized(error.message)}.`));
  }
  return make("li", {}, button);
}

/** All but the region dark, and the region outlined. */
function paintHit(context, hit, scale, color) {
  const { path } = readMask(hit.region, color);
  const rest = new Path2D(path);
  rest.rect(0, 0, hit.width, hit.height);
  context.scale(scale, scale);
  context.fillStyle = "rgb(0 0 0 / .55)";
  context.fill(rest, "evenodd");
  context.strokeStyle = color;
  context.lineWidth = 3 / scale;
  context.stroke(path);
}

const fetchHit = async ({ hit }, side, options) => (await request(`/v1/hits/${hit}?side=${side}`, options)).blob();

async function openHit(hit) {
  const picture = await run("Reading the picture", async (options) => keepPicture(await fetchHit(hit, 2048, options), hit.name, options));
  if (!picture) return;
  change({ picture, masks: [], asked: null, region: null });
  openTab("segment");
  await segment({});
}

function startSearch() {
  onSubmit("search", searchIndex);
  onSubmit("collect", () => showFound(null, { query: find("collect-query").value }, find("collect-summary"), find("collect-hits")));
  for (const choice of all("[name=by]")) {
    choice.addEventListener("change", () => (find("search").querySelector("[data-by]").hidden = choice.value !== "words"));
  }
}

