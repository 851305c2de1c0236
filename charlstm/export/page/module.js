// The module's interface: a model that predicts, scores and samples.

class Model {
  /** @param {Config} config @param {string} weights */
  constructor(config, weights) {
    this.alphabet = new Alphabet(config);
    this.stack = new CellStack(config, unpackWeights(weights, config.shapes));
  }

  next(text = "") {
    let state = this.stack.start();
    for (const symbol of this.numbers(text)) state = this.stack.read(symbol, state);
    const logP = this.stack.predict(state);
    return ranked(logP).map((number) => [this.alphabet.readable(number), Math.exp(logP[number])]);
  }

  /** @param {string} text */
  bits(text) {
    // Unlike a `Reading`, keep no states: a text may be long.
    let state = this.stack.start();
    let bits = 0;
    for (const symbol of this.numbers(text)) {
      bits -= this.stack.predict(state)[symbol] / BITS;
      state = this.stack.read(symbol, state);
    }
    return bits;
  }

  /**
   * @param {string} prime
   * @param {Partial<SamplerOptions> & { length?: number, seed?: number }} options
   */
  sample(prime = "", { length = 1000, temperature = 1, topK = Infinity, seed, random = Math.random } = {}) {
    if (!(temperature >= 0 && topK >= 1)) {
      throw new RangeError(`temperature ${temperature}, topK ${topK}: must be at least 0 and 1`);
    }
    const options = {
      unread: this.numbers(prime),
      temperature,
      topK,
      random: seed === undefined ? random : randomNumbers(seed),
    };
    const written = [];
    for (const symbol of drawnSymbols(this.stack, this.stack.start(), options)) {
      if (symbol === undefined) continue;
      if (symbol === this.stack.config.end || written.length >= length) break;
      written.push(symbol);
    }
    return this.alphabet.textOf(written);
  }

  /** @param {string} text */
  numbers(text) {
    const symbols = this.alphabet.symbolsOf(this.alphabet.normalized(text));
    return symbols.map(({ number }) => number);
  }
}

export const load = () => new Model(CONFIG, WEIGHTS);
