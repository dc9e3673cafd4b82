// Asks about the picture or its region: masks, sentences, answers, likeness, changes.

const ROWS = { panoptic: "segments", instance: "instances", semantic: "regions", grounding: "groundings" };

async function askMasks(what, verb, body) {
  const { picture } = state.now;
  return run(what, async (options) => {
    const result = await (await askAbout(picture, verb, body, options)).json();
    const rows = result[ROWS[result.kind]].map((row) => ({ ...row, label: row.label ?? row.phrase }));
    const found = rows.filter(({ area }) => area > 0);
    const colors = await labelColors(found.map(({ label }) => label), options);
    change({ masks: found.map((row) => readMask(row, colors[row.label])), asked: { verb, body, picture } });
    find("view").scrollIntoView({ block: "nearest" }); // on a phone it is above what was asked
    say(found.length === 1 ? "One mask." : `${found.length} masks.`);
  });
}

const segment = (body) => askMasks("Segmenting", "segment", body);

const regionBody = () => (state.now.region ? { region: state.now.region.sent } : {});
const regionName = () => state.now.region?.name ?? "the whole picture";

function addNote(note) {
  change({ notes: [note, ...state.now.notes] });
}

async function describe() {
  const { picture } = state.now;
  await run("Describing", async (options) => {
    const body = { ...readOptions(find("caption")), ...regionBody() };
    const { text } = await (await askAbout(picture, "caption", body, options)).json();
    addNote({ about: "region", title: regionName(), text: capitalized(text) });
    say(text);
  });
}

async function compare() {
  const { picture } = state.now;
  await run("Comparing", async (options) => {
    const texts = readLines("texts");
    const result = await (await askAbout(picture, "embed", { texts, ...regionBody() }, options)).json();
    const rows = [...result.texts].sort((a, b) => b.similarity - a.similarity);
    const vector = JSON.stringify(result.decoder);
    addNote({
      about: "region", title: regionName(), vector,
      text: rows.length ? "Likeness to words (cosine)" : `A vector of ${result.decoder.length} numbers`,
      bars: rows.map(({ text, similarity }) => ({ name: text, value: similarity.toFixed(3), share: Math.max(0, similarity) })),
    });
    say(rows.length ? `Most like ${rows[0].text}.` : "The vector is there.");
  });
}

async function answer() {
  const { picture } = state.now;
  const question = find("question").value.trim();
  if (!question) return;
  await run("Answering", async (options) => {
    const body = { ...readOptions(find("answer")), questions: [question] };
    const [found] = (await (await askAbout(picture, "answer", body, options)).json()).answers;
    addNote({
      about: "answer", title: question, text: capitalized(found.text),
      bars: found.candidates.map(({ text, score }) => ({ name: text, value: `${(100 * score).toFixed(score < 0.0995 ? 1 : 0)} %`, share: score })),
    });
    say(found.text);
    find("question").select();
  });
}

async function changePicture() {
  const { picture, region } = state.now;
  const kind = find("edit").querySelector("[name=change]:checked").value;
  await run("Changing", async (options) => {
    const body = { ...readOptions(find("edit")), change: kind, region: region.sent };
    if (kind === "recolor") body.color = find("color").value;
    const answer = await askAbout(picture, "edit", body, { ...options, accept: "image/png" });
    const edited = await keepPicture(await answer.blob(), picture.name, options, { phrases: picture.phrases, questions: picture.questions });
    const sameSize = edited.width === picture.width && edited.height === picture.height;
    change({ picture: edited, masks: [], asked: null, region: sameSize ? region : null });
    say("Changed. Undo takes it back.");
  });
}

function noteItem({ title, text, bars, vector }) {
  const rows = (bars ?? []).map(({ name, value, share }) => {
    const meter = make("meter", { min: 0, max: 1, value: share, "aria-label": name });
    return make("li", {}, make("span", {}, name), meter, make("span", { className: "number" }, value));
  });
  const copy = make("button", { type: "button", className: "quiet" }, "Copy vector");
  copy.addEventListener("click", () => copyText(vector, "Copied the vector."));
  return make("li", {}, make("h3", {}, title), make("p", {}, text), ...(rows.length ? [make("ul", { className: "bars", "aria-label": text }, ...rows)] : []), ...(vector ? [copy] : []));
}

function onSubmit(id, action) {
  find(id).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}

function startAsk() {
  onSubmit("segment", () => {
    const vocabulary = find("vocabulary").value.trim().replaceAll("\n", ",");
    segment({ ...(vocabulary ? { vocabulary } : {}), ...readOptions(find("segment")) });
  });
  onSubmit("refer", () => askMasks("Finding", "refer", { phrases: readLines("phrases"), ...readOptions(find("refer")) }));
  onSubmit("caption", describe);
  onSubmit("embed", compare);
  onSubmit("answer", answer);
  onSubmit("edit", changePicture);
  for (const choice of all("[name=change]")) {
    choice.addEventListener("change", () => {
      for (const part of all("[data-change]")) part.hidden = part.dataset.change !== choice.value;
    });
  }
  onChange(({ notes }, before) => {
    if (notes === before.notes) return;
    for (const about of ["region", "answer"]) {
      const list = find(`${about}-notes`);
      list.replaceChildren(...notes.filter((note) => note.about === about).map(noteItem));
      if (notes.length > before.notes.length) list.firstChild?.scrollIntoView({ block: "nearest" });
    }
  });
}

