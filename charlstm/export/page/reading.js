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

/**
 * Predict from the last 0, 1, 2, 4 ... and finally all symbols, each time from a new state. Yields
 * undefined after each symbol read.
 * @param {CellStack} stack
 * @param {Int32Array} symbols
 * @param {Float32Array} whole the state after all symbols.
 * @returns {Generator<{ length: number, logP: Float64Array } | undefined, void, void>}
 */
function* contextLengths(stack, symbols, whole) {
  for (let length = 0; length < symbols.length && length <= LONGEST_CONTEXT; length = 2 * length || 1) {
    let state = stack.start();
    for (const symbol of symbols.subarray(symbols.length - length)) {
      state = stack.read(symbol, state);
      yield;
    }
    yield { length, logP: stack.predict(state) };
  }
  yield { length: symbols.length, logP: stack.predict(whole) };
}

/**
 * Read the unread rest of a prime, with undefined after each symbol, then draw symbols without end.
 * @param {CellStack} stack @param {Float32Array} state @param {SamplerOptions} options
 * @returns {Generator<number | undefined, never, void>}
 */
function* drawnSymbols(stack, state, { unread, temperature, topK = Infinity, random }) {
  for (const symbol of unread) {
    state = stack.read(symbol, state);
    yield;
  }
  for (;;) {
    const logP = tempered(stack.predict(state), temperature);
    const symbol = draw(logP, temperature > 0 ? topK : 1, random);
    yield symbol;
    state = stack.read(symbol, state);
  }
}

/**
 * Draw one of the `topK` most likely symbols; `random` returns numbers from 0 to 1.
 * @param {Vector} logP @param {number} topK @param {() => number} random
 */
function draw(logP, topK, random) {
  const kept = ranked(logP, topK);
  const weights = kept.map((symbol) => Math.exp(logP[symbol]));
  let left = random() * weights.reduce((a, b) => a + b);
  return kept[weights.findIndex((weight) => (left -= weight) < 0)] ?? kept[0];
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
