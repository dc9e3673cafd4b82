// Text to token ids and back, as xdecoder/tokenizer.py does it for vocabularies of whole words.

const SPLIT = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu;
const CLEAN_UP = [[" .", "."], [" ?", "?"], [" !", "!"], [" ,", ","], [" ' ", "'"], [" n't", "n't"],
  [" 'm", "'m"], [" 's", "'s"], [" 've", "'ve"], [" 're", "'re"]];

export class Tokenizer {
  constructor(file, contextLength) {
    if (file.model.merges.length) throw new Error("this page reads tokenizers of whole words only");
    this.ids = file.model.vocab;
    this.pieces = Object.fromEntries(Object.entries(this.ids).map(([piece, id]) => [id, piece]));
    this.start = this.ids["<|startoftext|>"];
    this.end = this.ids["<|endoftext|>"];
    this.most = contextLength - 2;
    this.characters = printableBytes();
    this.bytes = Object.fromEntries(this.characters.map((character, byte) => [character, byte]));
  }

  encode(text) {
    const normal = text.normalize("NFC").replace(/\s+/g, " ").toLowerCase();
    const ids = [];
    for (const [word] of normal.matchAll(SPLIT)) {
      const bytes = new TextEncoder().encode(" " + word);
      const piece = Array.from(bytes, (byte) => this.characters[byte]).join("");
      if (piece in this.ids) ids.push(this.ids[piece]);
      else for (const character of piece) ids.push(this.ids[character]);
    }
    return [this.start, ...ids.slice(0, this.most), this.end];
  }

  // The words up to the end token, cut at the first full stop.
  decodeCaption(ids) {
    const bytes = [];
    for (const id of ids) {
      if (id === this.end) break;
      if (id !== this.start) for (const character of this.pieces[id]) bytes.push(this.bytes[character]);
    }
    let text = new TextDecoder().decode(new Uint8Array(bytes)).trim();
    for (const [old, clean] of CLEAN_UP) text = text.replaceAll(old, clean);
    return text.split(".")[0];
  }
}

// A printable character for each of the 256 bytes, in GPT-2's way.
function printableBytes() {
  const characters = [];
  let others = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    characters.push(String.fromCodePoint(printable ? byte : 256 + others++));
  }
  return characters;
}
