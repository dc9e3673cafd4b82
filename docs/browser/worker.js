// The model in a thread of its own, so that the page stays awake.

import { loadModel } from "./model.js";

const tell = (text) => postMessage({ text });
const loading = loadModel(new URL("./model/", import.meta.url), tell);
loading.then(() => postMessage({ ready: true }), (error) => postMessage({ failed: error.message }));
let encoded = Promise.reject(new Error("no picture yet"));
encoded.catch(() => {});

onmessage = async ({ data: { id, verb, argument } }) => {
  try {
    const model = await loading;
    if (verb === "encode") {
      encoded = model.encode(argument);
      await encoded;
      postMessage({ id, result: null });
    } else {
      postMessage({ id, result: await model[verb](await encoded, argument) });
    }
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
