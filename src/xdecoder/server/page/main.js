// All of it begins.

const TABS = ["segment", "refer", "region", "answer", "search"];

function openTab(name) {
  for (const tab of TABS) {
    const open = tab === name;
    find(`tab-${tab}`).setAttribute("aria-selected", open);
    find(`tab-${tab}`).tabIndex = open ? 0 : -1;
    find(`panel-${tab}`).hidden = !open;
  }
}

function startTabs() {
  TABS.forEach((name, place) => {
    const tab = find(`tab-${name}`);
    tab.addEventListener("click", () => openTab(name));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = TABS[(place + step + TABS.length) % TABS.length];
      openTab(next);
      find(`tab-${next}`).focus();
    });
  });
}

function startKeys() {
  find("undo").addEventListener("click", undo);
  find("redo").addEventListener("click", redo);
  find("cancel").addEventListener("click", () => work.control?.abort());
  find("retry").addEventListener("click", () => work.settle(true));
  find("dismiss").addEventListener("click", () => work.settle(false));
  addEventListener("keydown", (event) => {
    const writing = event.target.matches?.("textarea, input:not([type=radio], [type=checkbox], [type=file], [type=color])");
    if (event.key === "Escape") {
      find("download").open = false;
      if (work.control) work.control.abort();
      else if (state.now.region && !writing) change({ region: null });
    } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !writing) {
      event.preventDefault();
      event.shiftKey ? redo() : undo();
    }
  });
  onChange(() => {
    find("undo").disabled = !state.past.length;
    find("redo").disabled = !state.future.length;
  });
}

/** Which model answers, what it can be asked, and what it cannot. */
function showModel({ models: [model], vocabularies, limits }) {
  server.limits = limits;
  find("model-name").textContent = model.id;
  find("model-note").textContent = model.note;
  find("model").hidden = false;
  find("lists").textContent = vocabularies.join(", ");
  find("vocabulary").placeholder = model.classes.join(", ");
  const lacks = (verb) => !model.verbs.includes(verb);
  find("tab-answer").hidden = lacks("answer");
  find("caption").hidden = lacks("caption");
  find("search").hidden = lacks("search");
  find("collection").hidden = lacks("search");
  find("no-index").hidden = !lacks("search");
}

async function waitUntilReady(options) {
  for (;;) {
    const answer = await fetch("/readyz", { signal: options.signal }).catch((error) => {
      throw error.name === "AbortError" ? error : new ServerError(0, "the server does not answer");
    });
    if (answer.ok) return;
    await pause(500, options.signal);
  }
}

async function start() {
  const facts = await run("Waiting for the model", async (options) => {
    await waitUntilReady(options);
    return (await request("/v1/models", options)).json();
  });
  if (!facts) return;
  showModel(facts);
  await showSamples(0);
}

startTabs();
startKeys();
startView();
startRegion();
startLegend();
startPicture();
startAsk();
startSearch();
startDownload();
start();
