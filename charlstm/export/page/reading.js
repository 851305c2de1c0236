// Reading, context lengths and sampling, one symbol at a time, so that a worker can stop anywhere.

const BITS = Math.LN2;
const LONGEST_CONTEXT = 64; // symbols; longer contexts hardly differ from the whole text

/** The states and bits of a text; after an edit, only the text from there on is read again. */
class Reading {
  /** @param {CellStack} stack */
  constructor(stack) {
    this.stack = stack;
    /** @type {Int32Array} */
    this.symbols = new Int32Array(0);
    this.states = [stack.start()]; // after 0, 1, 2 ... symbols
    /** @type {number[]} */
    this.bits = []; // of each symbol
  }

  get isDone() {
    return this.states.length > this.symbols.length;
  }

  get numRead() {
    return this.states.length - 1;
  }

  /**
   * Read another text, of which the first `same` symbols are the old ones.
   * @param {number} same @param {Int32Array} symbols
   */
  replace(same, symbols) {
    this.symbols = symbols;
    this.states.length = Math.min(this.states.length, same + 1);
  }

  /** Read one more symbol. */
  advance() {
    const { numRead } = this;
    const symbol = this.symbols[numRead];
    const before = this.states[numRead];
    this.bits[numRead] = -this.stack.predict(before)[symbol] / BITS;
    this.states.push(this.stack.read(symbol, before));
  }
}

/** The same prediction from the last 0, 1, 2, 4 ... and finally all symbols, each from a new state. */
class ContextLengths {
  /**
   * @param {CellStack} stack
   * @param {Int32Array} symbols
   * @param {Float32Array} whole the state after all symbols.
   */
  constructor(stack, symbols, whole) {
    this.stack = stack;
    this.symbols = symbols;
    this.whole = whole;
    /** @type {number[]} */
    this.lengths = [];
    for (let length = 0; length < symbols.length && length <= LONGEST_CONTEXT; length = 2 * length || 1) {
      this.lengths.push(length);
    }
    this.lengths.push(symbols.length);
    /** @type {{ length: number, logP: Float64Array }[]} */
    this.contexts = [];
    this.length = this.numRead = 0;
    this.state = whole;
    this.start();
  }

  get isDone() {
    return this.contexts.length === this.lengths.length;
  }

  start() {
    this.length = this.lengths[this.contexts.length];
    const isWhole = this.length === this.symbols.length;
    this.state = isWhole ? this.whole : this.stack.start();
    this.numRead = isWhole ? this.length : 0;
  }

  advance() {
    if (this.numRead < this.length) {
      const symbol = this.symbols[this.symbols.length - this.length + this.numRead];
      this.state = this.stack.read(symbol, this.state);
      this.numRead += 1;
      return;
    }
    this.contexts.push({ length: this.length, logP: this.stack.predict(this.state) });
    if (!this.isDone) this.start();
  }
}

/** A sampler, which first reads the unread rest of the prime. */
class Sampler {
  /**
   * `topK`: draw from this many of the most likely symbols; `random`: numbers from 0 to 1.
   * @param {CellStack} stack @param {Float32Array} state @param {SamplerOptions} options
   */
  constructor(stack, state, options) {
    const { unread, temperature, seed, length, topK = Infinity, random = randomNumbers(seed ?? 0) } = options;
    this.stack = stack;
    this.state = state;
    this.unread = unread;
    this.temperature = temperature;
    this.topK = topK;
    this.random = random;
    this.length = length;
    /** @type {number[]} */
    this.symbols = [];
  }

  get isDone() {
    return this.symbols.length >= this.length;
  }

  /** End the sample here. */
  stop() {
    this.length = 0;
  }

  advance() {
    if (this.unread.length) {
      this.state = this.stack.read(this.unread[0], this.state);
      this.unread = this.unread.subarray(1);
      return;
    }
    const symbol = this.draw(tempered(this.stack.predict(this.state), this.temperature));
    this.symbols.push(symbol);
    this.state = this.stack.read(symbol, this.state);
  }

  /** @param {Float64Array} logP */
  draw(logP) {
    const kept = ranked(logP, this.temperature > 0 ? this.topK : 1);
    const weights = kept.map((symbol) => Math.exp(logP[symbol]));
    let left = this.random() * weights.reduce((a, b) => a + b);
    return kept[weights.findIndex((weight) => (left -= weight) < 0)] ?? kept[0];
  }
}

/**
 * Numbers from 0 to 1, the same for the same seed: xorshift (Marsaglia 2003).
 * @param {number} seed
 */
function randomNumbers(seed) {
  // Spread neighboring seeds, and avoid 0, which xorshift never leaves.
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
