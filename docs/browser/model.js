// An exported model (`xdecoder export`) in onnxruntime-web: segments, finds and describes.
// What each step does stands in xdecoder/runtime, which this follows.

import * as ort from "./ort/ort.wasm.min.mjs";
import { best, crop, dot, normalize, resize, rowsOf, sigmoid, softmax } from "./arrays.js";
import { Tokenizer } from "./tokenizer.js";

ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send

const STRIDE = 32;
const LEVEL_STRIDES = [32, 16, 8];
const PARTS = ["image", "text", "latents", "phrases", "caption"];

export async function loadModel(folder, tell) {
  const file = async (name) => {
    const response = await fetch(new URL(name, folder));
    if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
    return response;
  };
  tell("loading the model");
  const manifest = await (await file("export.json")).json();
  const tokenizer = new Tokenizer(await (await file("tokenizer.json")).json(), manifest.config.text.context_length);
  const data = new Uint8Array(await (await file("weights.bin")).arrayBuffer());
  const sessions = {};
  for (const part of PARTS) {
    const graph = new Uint8Array(await (await file(`${part}.onnx`)).arrayBuffer());
    sessions[part] = await ort.InferenceSession.create(graph, { externalData: [{ path: "weights.bin", data }] });
  }
  const known = await readKnownNames(await (await file("vocabulary.npy")).arrayBuffer(), manifest.vocabulary);
  return new Model(manifest, tokenizer, sessions, known);
}

// The embeddings that were exported with the model, by the names of the classes; "" is the background.
async function readKnownNames(buffer, { classes }) {
  const header = new DataView(buffer).getUint16(8, true);
  const numbers = new Float32Array(buffer.slice(10 + header));
  const names = [...classes, ""];
  const width = numbers.length / names.length;
  return new Map(names.map((name, i) => [name, numbers.subarray(i * width, (i + 1) * width)]));
}

class Model {
  constructor(manifest, tokenizer, sessions, names) {
    Object.assign(this, { manifest, tokenizer, sessions, names });
    this.settings = manifest.config.inference;
  }

  async run(part, inputs, outputs) {
    const session = this.sessions[part];
    const feeds = Object.fromEntries(session.inputNames.map((name) => [name, inputs[name]]));
    return session.run(feeds, outputs ?? session.outputNames);
  }

  // An image ({ data: RGBA, width, height }) encoded once, for everything that is asked.
  async encode({ data, width, height }) {
    const scale = Math.min(
      this.settings.short_side / Math.min(width, height), this.settings.long_side / Math.max(width, height));
    const resized = [height, width].map((side) => Math.max(1, Math.round(side * scale)));
    const padded = resized.map((side) => Math.ceil(side / STRIDE) * STRIDE);
    const pixels = new Float32Array(3 * padded[0] * padded[1]);
    const round = (value) => Math.min(255, Math.max(0, Math.round(value)));
    for (let channel = 0; channel < 3; channel++) {
      const plane = Float32Array.from({ length: width * height }, (_, i) => data[4 * i + channel]);
      const small = resized[0] === height && resized[1] === width
        ? plane : resize(plane, [height, width], resized, round);
      const mean = this.manifest.config.pixel_mean[channel];
      const deviation = this.manifest.config.pixel_std[channel];
      for (let y = 0; y < resized[0]; y++) {
        for (let x = 0; x < resized[1]; x++) {
          pixels[(channel * padded[0] + y) * padded[1] + x] = (small[y * resized[1] + x] - mean) / deviation;
        }
      }
    }
    const features = await this.run("image", { pixels: new ort.Tensor("float32", pixels, [1, 3, ...padded]) });
    const latents = await this.run("latents", features);
    LEVEL_STRIDES.forEach((stride, i) => {
      const cells = (padded[0] / stride) * (padded[1] / stride);
      latents[`visible_${i}`] = new ort.Tensor("bool", new Uint8Array(cells).fill(1), [1, cells]);
    });
    return { output: [height, width], resized, padded, features, latents };
  }

  // { ids: segment of each pixel, from 1, segments: [{ label, score }] }
  async segment(item, classes = this.manifest.vocabulary.classes) {
    const names = await this.embedNames([...classes, ""]);
    const usual = this.manifest.vocabulary;
    const isThing = (name) => !usual.classes.includes(name) || usual.things.includes(usual.classes.indexOf(name));
    const masks = rowsOf(item.latents.mask_embeddings);
    const kept = [];
    rowsOf(item.latents.embeddings).forEach((row, query) => {
      const unit = normalize(row);
      const shares = softmax(names.map((name) => this.manifest.logit_scale * dot(unit, name)));
      const [category] = best(shares, 1);
      if (category < classes.length && shares[category] > this.settings.object_threshold) {
        kept.push({ category, score: shares[category], mask: this.mask(item, masks[query]).map(sigmoid) });
      }
    });
    const winners = new Int32Array(item.output[0] * item.output[1]);
    for (const claim of kept) Object.assign(claim, { won: 0, own: 0, covered: 0 });
    for (let pixel = 0; pixel < winners.length; pixel++) {
      let winner = -1;
      let largest = -1;
      kept.forEach((claim, i) => {
        if (claim.mask[pixel] >= 0.5) claim.own++;
        if (claim.score * claim.mask[pixel] > largest) [winner, largest] = [i, claim.score * claim.mask[pixel]];
      });
      if (winner < 0) continue;
      kept[winner].won++;
      if (kept[winner].mask[pixel] >= 0.5) {
        kept[winner].covered++;
        winners[pixel] = winner + 1;
      }
    }
    const segments = [];
    const segmentOf = [0];
    const stuff = {};
    for (const { category, score, won, own, covered } of kept) {
      if (!(won && own && covered) || won / own < this.settings.overlap_threshold) segmentOf.push(0);
      else if (category in stuff) segmentOf.push(stuff[category]);
      else {
        segments.push({ label: classes[category], score });
        segmentOf.push(segments.length);
        if (!isThing(classes[category])) stuff[category] = segments.length;
      }
    }
    return { ids: winners.map((winner) => segmentOf[winner]), segments };
  }

  // { ids: 1 where the phrase's mask is, segments: [{ label, score }] }
  async refer(item, phrase) {
    const ids = this.tokenizer.encode(phrase);
    const { tokens, embeddings } = await this.run("text", { ids: integers(ids, [1, ids.length]) });
    const valid = new ort.Tensor("bool", new Uint8Array(ids.length).fill(1), [1, ids.length]);
    const found = await this.run("phrases", { ...item.features, tokens, valid });
    const text = normalize(embeddings.data);
    const cosines = rowsOf(found.embeddings).map((row) => dot(normalize(row), text));
    const [chosen] = best(cosines, 1);
    const mask = this.mask(item, rowsOf(found.mask_embeddings)[chosen]);
    return { ids: Int32Array.from(mask, (logit) => +(logit > 0)), segments: [{ label: phrase, score: cosines[chosen] }] };
  }

  // The sentence with the highest mean log-probability a token that a beam search finds.
  async caption(item) {
    const { layers, heads, width } = this.manifest.config.text;
    const none = new ort.Tensor("float32", new Float32Array(0), [layers, 1, heads, 0, width / heads]);
    let past = { token_keys: none, token_values: none, keys: item.latents.keys, values: item.latents.values };
    const step = async (ids, rows) => {
      const inputs = Object.fromEntries(Object.entries(past).map(([name, tensor]) => [name, pickRows(tensor, rows)]));
      const found = await this.run("caption", { ...item.latents, ...inputs, ids: integers(ids, [ids.length, 1]) });
      past = Object.fromEntries(Object.keys(past).map((name) => [name, found[`${name}_grown`]]));
      return rowsOf(found.log_probabilities);
    };
    const { end, start, most } = this.tokenizer;
    const beams = this.settings.caption_beams;
    const [first] = await step([start], [0]);
    let texts = best(first, beams).map((id) => ({ ids: [id], total: first[id], row: 0, finished: id === end }));
    for (let i = 1; i < Math.min(this.settings.caption_steps, most + 1) && !texts.every((t) => t.finished); i++) {
      const following = await step(texts.map((t) => t.ids.at(-1)), texts.map((t) => t.row));
      const grown = texts.flatMap((text, row) => {
        if (text.finished) return [{ ...text, ids: [...text.ids, end], row }];
        return best(following[row], beams).map((id) => ({
          ids: [...text.ids, id], total: text.total + following[row][id], row, finished: id === end }));
      });
      const means = grown.map(meanOf(end));
      texts = best(means, beams).map((place) => grown[place]);
    }
    const [winner] = best(texts.map(meanOf(end)), 1);
    return this.tokenizer.decodeCaption(texts[winner].ids);
  }

  // Each class by the mean of its prompts' embeddings; "" is the background. A name costs once.
  async embedNames(names) {
    for (const name of names) {
      if (this.names.has(name)) continue;
      const encoded = this.manifest.prompts.map((prompt) => this.tokenizer.encode(prompt.replaceAll("{}", name)));
      const length = Math.max(...encoded.map((ids) => ids.length));
      const ids = encoded.flatMap((row) => [...row, ...Array(length - row.length).fill(this.tokenizer.end)]);
      const { embeddings } = await this.run("text", { ids: integers(ids, [encoded.length, length]) }, ["embeddings"]);
      const mean = new Float32Array(embeddings.dims[1]);
      for (const row of rowsOf(embeddings)) normalize(row).forEach((value, i) => { mean[i] += value; });
      this.names.set(name, normalize(mean));
    }
    return names.map((name) => this.names.get(name));
  }

  // Mask logits at the size of the image.
  mask(item, embedding) {
    const { data, dims: [, channels, rows, columns] } = item.features.mask_features;
    const logits = new Float32Array(rows * columns);
    for (let channel = 0; channel < channels; channel++) {
      const factor = embedding[channel];
      const offset = channel * logits.length;
      for (let cell = 0; cell < logits.length; cell++) logits[cell] += factor * data[offset + cell];
    }
    const padded = resize(logits, [rows, columns], item.padded);
    return resize(crop(padded, item.padded[1], item.resized), item.resized, item.output);
  }
}

// A text's log-probability a token; its end token counts, once.
function meanOf(end) {
  return ({ ids, total }) => total / (ids.includes(end) ? ids.indexOf(end) + 1 : ids.length);
}

function integers(values, dims) {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), dims);
}

// Rows of axis 1 of a tensor.
function pickRows({ data, dims }, rows) {
  const [layers, count, ...rest] = dims;
  const size = rest.reduce((a, b) => a * b, 1);
  const picked = new Float32Array(layers * rows.length * size);
  for (let layer = 0; layer < layers; layer++) {
    rows.forEach((row, i) => {
      const from = (layer * count + row) * size;
      picked.set(data.subarray(from, from + size), (layer * rows.length + i) * size);
    });
  }
  return new ort.Tensor("float32", picked, [layers, rows.length, ...rest]);
}
