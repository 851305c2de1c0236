// What programs get: a model that predicts, scores and writes. `CONFIG` and `WEIGHTS` stand before it.

class Model {
  constructor(config, weights) {
    this.alphabet = new Alphabet(config);
    this.stack = new CellStack(config, unpackWeights(weights, config.shapes));
  }

  next(text = "") {
    const reading = this.read(text);
    const logP = this.stack.predict(reading.states.at(-1));
    return ranked(logP).map((number) => [this.alphabet.readable(number), Math.exp(logP[number])]);
  }

  bits(text) {
    return this.read(text).bits.reduce((a, b) => a + b, 0);
  }

  sample(prime = "", { length = 1000, temperature = 1, topK, seed, random = Math.random } = {}) {
    const sampler = new Sampler(this.stack, this.stack.start(), {
      unread: this.numbers(prime),
      length,
      temperature,
      topK,
      random: seed === undefined ? random : randomNumbers(seed),
    });
    const { symbols } = sampler;
    const { end } = this.stack.config;
    while (!sampler.isDone && symbols.at(-1) !== end) sampler.advance();
    return this.alphabet.textOf(symbols.filter((symbol) => symbol !== end));
  }

  numbers(text) {
    const symbols = this.alphabet.symbolsOf(this.alphabet.normalized(text));
    return Int32Array.from(symbols, ({ number }) => number);
  }

  read(text) {
    const reading = new Reading(this.stack);
    reading.replace(0, this.numbers(text));
    while (!reading.isDone) reading.advance();
    return reading;
  }
}

export const load = () => new Model(CONFIG, WEIGHTS);
