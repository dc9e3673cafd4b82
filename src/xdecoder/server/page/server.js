// Asks the server.

const TRIES_WHEN_FULL = 6;

class ServerError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** A request's answer, whatever it takes: the token is asked for, and a full server asked again. */
async function request(path, { onWait = () => {}, ...options } = {}) {
  for (let tries = 1; ; tries++) {
    const token = sessionStorage.getItem("token");
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ServerError(0, "the server does not answer");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) {
      await askForToken();
    } else if (answer.status === 429 && tries < TRIES_WHEN_FULL) {
      const seconds = Number(answer.headers.get("retry-after")) || 1;
      onWait(seconds);
      await pause(1000 * seconds, options.signal);
      onWait(0);
    } else {
      throw new ServerError(answer.status, await readDetail(answer));
    }
  }
}

async function readDetail(answer) {
  try {
    return String((await answer.json()).detail);
  } catch {
    return `the server answered ${answer.status}`;
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });
}

function askForToken() {
  const dialog = find("token-dialog");
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.onclose = () => {
      if (dialog.returnValue !== "enter") return reject(new ServerError(401, "this server asks for a token"));
      sessionStorage.setItem("token", find("token").value.trim());
      find("token").value = dialog.returnValue = "";
      resolve();
    };
  });
}

/** Sends a picture to be kept; its id and its size. */
async function sendPicture(blob, options) {
  const headers = { "Content-Type": blob.type || "application/octet-stream" };
  return (await request("/v1/images", { ...options, method: "POST", body: blob, headers })).json();
}

/** Asks a verb about a picture, which is sent again where the server has let go of it. */
async function askAbout(picture, verb, body, { query = "", accept = "application/json", ...options } = {}) {
  const post = () =>
    request(`/v1/${verb}${query}`, {
      ...options,
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: accept },
      body: JSON.stringify(picture ? { ...body, image_id: picture.id } : body),
    });
  try {
    return await post();
  } catch (error) {
    if (error.status !== 404 || !picture) throw error;
    picture.id = (await sendPicture(picture.blob, options)).id;
    return post();
  }
}

/** The colors of labels, the library's own. */
async function labelColors(labels, options) {
  if (!labels.length) return {};
  const query = new URLSearchParams([...new Set(labels)].map((label) => ["label", label]));
  return (await request(`/v1/colors?${query}`, options)).json();
}

