// A text as the model reads it: symbols, states and surprise, a little at a time so that the page
// never stalls.

const BITS = Math.LN2;

/** What ends a document that isn't a line, shown and written as a line end. */
const DOCUMENT_END = 0xfdd0;

/** Characters or bytes of typed text, and their numbers. */
class Alphabet {
  constructor({ codes, level, normalize, keepLineEnds }) {
    this.codes = codes;
    this.level = level;
    this.normalize = normalize;
    this.numbers = new Map(codes.map((code, place) => [code, place + 1]));
    // A text field knows one line end only; a model of texts that keep theirs knows CR LF.
    this.lineEnd = keepLineEnds && this.numbers.has(13) ? [13, 10] : [10];
  }

  /** A text in the form that the model was trained on. */
  normalized(text) {
    return this.normalize === "nfc" ? text.normalize("NFC") : text;
  }

  /**
   * The symbols of a text: `code` its character or byte, `number` what the model knows it by, 0
   * for unknown, `end` the position in the text after it.
   */
  symbolsOf(text) {
    const symbols = [];
    let end = 0;
    for (const char of text) {
      end += char.length;
      let codes = char === "\n" ? this.lineEnd : [char.codePointAt(0)];
      if (this.level === "byte" && char !== "\n") codes = new TextEncoder().encode(char);
      for (const code of codes) {
        symbols.push({ code, number: this.numbers.get(code) ?? 0, end });
      }
    }
    return symbols;
  }

  /** A symbol that can be predicted, to be shown. */
  nameOf(number) {
    return number === 0 ? "unknown" : this.label(this.codes[number - 1]);
  }

  /** The same in words, for a screen reader. */
  spokenNameOf(number) {
    const words = { 9: "tab", 10: "line end", 32: "space", [DOCUMENT_END]: "end of the document" };
    return words[this.codes[number - 1]] ?? this.nameOf(number);
  }

  /** Unknown and a document's end are no characters, a byte past ASCII and CR only parts of one. */
  canBeTyped(number) {
    const code = this.codes[number - 1];
    const isPart = code === 13 || code === DOCUMENT_END;
    return number > 0 && !isPart && !(this.level === "byte" && code > 127);
  }

  /** What stands for a character or byte where it would not be seen itself. */
  label(code) {
    const names = { 9: "\u21e5", 10: "\u23ce", 32: "\u2423", [DOCUMENT_END]: "end" };
    if (code in names) return names[code];
    const isByte = this.level === "byte" && code > 126;
    const isHidden = code < 32 || (code >= 127 && code < 160) || (code >= 0xd800 && code < 0xe000);
    const isInvisible = /^[\p{Z}\p{C}]$/u.test(String.fromCodePoint(code));
    if (isByte || isHidden || isInvisible) {
      const hex = code.toString(16).toUpperCase();
      return isByte ? `x${hex}` : `U+${hex.padStart(4, "0")}`;
    }
    return String.fromCodePoint(code);
  }

  /** Text of predicted symbols; bytes that are no UTF-8 become U+FFFD. */
  textOf(numbers) {
    const codes = numbers.map((number) => this.codes[number - 1]).map(
      (code) => code === DOCUMENT_END ? 10 : code,
    );
    if (this.level === "byte") return new TextDecoder().decode(Uint8Array.from(codes));
    return codes.map((code) => String.fromCodePoint(code)).join("");
  }
}

/** What the model makes of a text; after an edit, only what follows it is read again. */
class Reading {
  constructor(stack) {
    this.stack = stack;
    this.symbols = [];
    this.states = [stack.start()]; // after 0, 1, 2 ... symbols
    this.bits = []; // what each symbol cost
    this.earlierBits = []; // and had cost before the last edit
  }

  get isDone() {
    return this.states.length > this.symbols.length;
  }

  replace(symbols) {
    const old = this.symbols;
    const shortest = Math.min(old.length, symbols.length);
    let same = 0;
    while (same < shortest && old[same].code === symbols[same].code) same += 1;
    let tail = 0;
    while (tail < shortest - same && old.at(-1 - tail).code === symbols.at(-1 - tail).code) {
      tail += 1;
    }
    if (same < old.length || same < symbols.length) {
      const first = symbols.length - tail;
      const moved = symbols.length - old.length;
      const bits = this.bits;
      this.earlierBits = symbols.map((_, place) => (place < first ? undefined : bits[place - moved]));
    }
    this.symbols = symbols;
    this.states.length = Math.min(this.states.length, same + 1);
    this.bits = this.bits.slice(0, same);
  }

  /** Read one more symbol. */
  advance() {
    const place = this.states.length - 1;
    const { number } = this.symbols[place];
    const before = this.states[place];
    this.bits[place] = -this.stack.predict(before)[number] / BITS;
    this.states.push(this.stack.read(number, before));
  }

  /** How much more a symbol costs since the last edit; undefined where there is nothing to compare. */
  change(place) {
    const [now, earlier] = [this.bits[place], this.earlierBits[place]];
    return now === undefined || earlier === undefined ? undefined : now - earlier;
  }
}

/** The same prediction from the last 0, 1, 2, 4 ... and finally all symbols, each from nothing. */
class Ladder {
  constructor(stack, symbols) {
    this.stack = stack;
    this.symbols = symbols;
    this.rungs = [];
    this.start();
  }

  get isDone() {
    return this.length === undefined;
  }

  start() {
    this.length = this.rungs.length ? Math.max(1, 2 * this.length) : 0;
    this.length = Math.min(this.length, this.symbols.length);
    this.state = this.stack.start();
    this.numRead = 0;
  }

  advance() {
    if (this.numRead < this.length) {
      const symbol = this.symbols[this.symbols.length - this.length + this.numRead];
      this.state = this.stack.read(symbol.number, this.state);
      this.numRead += 1;
      return;
    }
    this.rungs.push({ length: this.length, logP: this.stack.predict(this.state) });
    if (this.length === this.symbols.length) this.length = undefined;
    else this.start();
  }
}

/** Draws symbols, one after another. */
class Sampler {
  constructor(stack, state, { temperature, seed, length }) {
    this.stack = stack;
    this.state = state;
    this.temperature = temperature;
    this.random = randomNumbers(seed);
    this.length = length;
    this.numbers = [];
  }

  get isDone() {
    return this.numbers.length >= this.length;
  }

  advance() {
    const logP = this.stack.predict(this.state);
    logP[0] = -Infinity; // Unknown can't be written.
    const number = this.temperature > 0 ? this.draw(logP) : ranked(logP)[0];
    this.numbers.push(number);
    this.state = this.stack.read(number, this.state);
  }

  draw(logP) {
    const highest = logP.reduce((a, b) => Math.max(a, b));
    const weights = logP.map((value) => Math.exp((value - highest) / this.temperature));
    let left = this.random() * weights.reduce((a, b) => a + b);
    const drawn = weights.findIndex((weight) => (left -= weight) < 0);
    return drawn < 0 ? ranked(logP)[0] : drawn;
  }
}

/** Symbols, the most likely first. */
function ranked(logP) {
  return Array.from(logP.keys()).sort((a, b) => logP[b] - logP[a] || a - b);
}

/** Entropy of a distribution, in bits. */
function entropyBits(logP) {
  return logP.reduce((sum, value) => sum - Math.exp(value) * value, 0) / BITS;
}

/** Numbers from 0 to 1, the same for the same seed: xorshift (Marsaglia 2003). */
function randomNumbers(seed) {
  // Neighboring seeds far apart, and never 0, which xorshift doesn't leave.
  let bits = Math.imul(seed + 1, 0x9e3779b1) || 1;
  const next = () => {
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    return (bits >>> 0) / 2 ** 32;
  };
  for (let skipped = 0; skipped < 8; skipped += 1) next();
  return next;
}
