// Context lengths and sampling, one symbol at a time, so that the page can draw in between.

const BITS = Math.LN2;
const LONGEST_CONTEXT = 64; // symbols; longer contexts hardly differ from the whole text

/**
 * Return predictions from the last 0, 1, 2, 4 ... and finally all symbols, each time from a new state;
 * yield after each symbol read.
 * @param {CellStack} stack
 * @param {number[]} symbols
 * @param {Float32Array} whole the state after all symbols.
 * @returns {Generator<void, { length: number, logP: Float64Array }[], void>}
 */
function* contextLengths(stack, symbols, whole) {
  const predictions = [];
  for (let length = 0; length < symbols.length && length <= LONGEST_CONTEXT; length = 2 * length || 1) {
    let state = stack.start();
    for (const symbol of symbols.slice(symbols.length - length)) {
      state = stack.read(symbol, state);
      yield;
    }
    predictions.push({ length, logP: stack.predict(state) });
  }
  return [...predictions, { length: symbols.length, logP: stack.predict(whole) }];
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
