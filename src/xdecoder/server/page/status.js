// What goes on: busy, trouble, a word in passing.

const ADVICE = {
  0: "Look whether it still runs (xdecoder serve), then try again.",
  401: "Ask whoever runs this server for it.",
  408: "The connection is slow: try a smaller picture.",
  413: "Choose a smaller picture.",
  429: "Many people ask at once: try again in a moment.",
  500: "Try again; if it stays so, whoever runs the server finds the reason in its log.",
  503: "Try again in a moment.",
};
const work = { control: null, timer: 0, toast: 0, settle: () => {} };

/**
 * Does one thing at a time, saying so: a second one stops the first. What goes wrong is told, and done again
 * if that is wished.
 *
 * @returns what the task gives; null where it was stopped, or went wrong for good.
 */
async function run(what, task) {
  work.control?.abort();
  work.settle(false);
  find("toast").classList.remove("shown");
  for (;;) {
    const control = new AbortController();
    try {
      return await busy(what, control, task);
    } catch (error) {
      if (error.name === "AbortError") {
        if (!work.control) say("Stopped.");
        return null;
      }
      if (!(await tellTrouble(what, error))) return null;
    }
  }
}

async function busy(what, control, task) {
  const begun = Date.now();
  let wait = 0;
  const tell = () => {
    const seconds = Math.floor((Date.now() - begun) / 1000);
    const full = wait ? ` The server is busy; asking again in ${wait} s.` : "";
    find("busy-text").textContent = `${what}…${full}${seconds > 1 ? ` ${seconds} s` : ""}`;
  };
  const onWait = (seconds) => {
    wait = seconds;
    tell();
  };
  work.control = control;
  clearInterval(work.timer);
  work.timer = setInterval(tell, 1000);
  tell();
  find("busy").hidden = false;
  document.body.setAttribute("aria-busy", "true");
  try {
    return await task({ signal: control.signal, onWait });
  } finally {
    if (work.control === control) {
      clearInterval(work.timer);
      find("busy").hidden = true;
      document.body.removeAttribute("aria-busy");
      work.control = null;
    }
  }
}

/** Says what went wrong and what to do; whether to try again. */
function tellTrouble(what, error) {
  if (!(error instanceof ServerError)) console.error(error);
  const text = /[.!?]$/.test(error.message) ? error.message : `${error.message}.`;
  find("trouble-title").textContent = `${what}: this did not work.`;
  find("trouble-text").textContent = `${capitalized(text)} ${ADVICE[error.status] ?? ""}`.trim();
  find("retry").hidden = error.status === 422 || error.status === 415;
  find("trouble").hidden = false;
  return new Promise((resolve) => {
    work.settle = (again) => {
      find("trouble").hidden = true;
      work.settle = () => {};
      resolve(again);
    };
  });
}

/** A word in passing, which screen readers say too. */
function say(text) {
  const toast = find("toast");
  toast.textContent = text;
  toast.classList.add("shown");
  clearTimeout(work.toast);
  work.toast = setTimeout(() => toast.classList.remove("shown"), 3500);
}

async function copyText(text, said) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { value: text, className: "unseen" }); // where the page has no clipboard: plain HTTP
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(said);
}

