// A model, one symbol at a time, as in model/cell.py. H: hidden size, V: symbols that can be predicted.

/**
 * Return log-probabilities; unknown, number 0, gets at least `unknownProbability`.
 * @param {Float32Array} logits @param {number} unknownProbability
 */
function logSoftmax(logits, unknownProbability) {
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const sum = logits.reduce((total, value) => total + Math.exp(value - highest), 0);
  const logP = Float64Array.from(logits, (value) => value - highest - Math.log(sum));
  const unknown = Math.min(Math.exp(logP[0]), unknownProbability);
  const shrunk = Math.log1p(-unknownProbability) - Math.log1p(-unknown);
  for (let symbol = 1; symbol < logP.length; symbol += 1) logP[symbol] += shrunk;
  logP[0] = Math.max(logP[0], Math.log(unknownProbability));
  return logP;
}

/**
 * Embedding, stacked cells and head.
 *
 * A state has for each layer the values of the last step, in the order of `config.spec.names`, H each.
 */
class CellStack {
  /** @param {Config} config @param {Record<string, any>} weights */
  constructor(config, weights) {
    this.config = config;
    this.names = config.spec.names;
    this.size = config.hiddenSize;
    this.layerLength = this.names.length * this.size;
    /** @type {Matrix} */
    this.embedding = weights["embedding.weight"];
    this.layers = Array.from({ length: config.numLayers }, (_, number) => {
      const of = (/** @type {string} */ name) => weights[`layers.${number}.${name}_l0`];
      return {
        weightIh: of("weight_ih"),
        weightHh: of("weight_hh"),
        biasIh: of("bias_ih"),
        biasHh: of("bias_hh"),
      };
    });
    /** @type {Matrix} */
    this.headWeight = weights["head.weight"];
    /** @type {Float32Array} */
    this.headBias = weights["head.bias"];
  }

  /**
   * Return a layer's values of one name, [H].
   * @param {Float32Array} state @param {number} layer @param {string} name
   */
  valuesOf(state, layer, name) {
    const first = layer * this.layerLength + this.names.indexOf(name) * this.size;
    return state.subarray(first, first + this.size);
  }

  /** Return the state before anything is read. */
  zero() {
    return new Float32Array(this.config.numLayers * this.layerLength);
  }

  /** Return the state before the first character: zero, and BOS read. @returns {Float32Array} */
  start() {
    return this.read(this.config.boundary, this.zero());
  }

  /**
   * Return the state after one more symbol; after EOS the next document begins.
   * @param {number} symbol @param {Float32Array} before
   */
  read(symbol, before) {
    if (symbol === this.config.end) return this.start();
    const after = this.zero();
    /** @type {Float32Array} */
    let z = this.embedding.row(symbol);
    this.layers.forEach(({ weightIh, weightHh, biasIh, biasHh }, number) => {
      const read = plus(weightIh.times(z), biasIh);
      const kept = plus(weightHh.times(this.valuesOf(before, number, "hidden")), biasHh);
      const first = number * this.layerLength;
      const part = (/** @type {Float32Array} */ state) => state.subarray(first, first + this.layerLength);
      STEPS[this.config.cell](read, kept, part(before), part(after));
      z = this.valuesOf(after, number, "hidden");
    });
    return after;
  }

  /** Return the next symbol's log-probabilities, [V]. @param {Float32Array} state */
  predict(state) {
    const hidden = new Float32Array(this.config.numLayers * this.size);
    for (let layer = 0; layer < this.config.numLayers; layer += 1) {
      hidden.set(this.valuesOf(state, layer, "hidden"), layer * this.size);
    }
    return logSoftmax(
      plus(this.headWeight.times(hidden), this.headBias),
      this.config.unknownProbability,
    );
  }
}

/** Add in place. @param {Float32Array} sum @param {Float32Array} other */
function plus(sum, other) {
  for (let number = 0; number < sum.length; number += 1) sum[number] += other[number];
  return sum;
}

/**
 * Unpack weights: scales and 8-bit integers of matrices, float32 vectors.
 * @param {string} base64 @param {Config["shapes"]} shapes
 */
function unpackWeights(base64, shapes) {
  const decoded = atob(base64);
  const bytes = new Uint8Array(decoded.length);
  for (let number = 0; number < bytes.length; number += 1) bytes[number] = decoded.charCodeAt(number);
  const matrices = Object.values(shapes).filter(([, numColumns]) => numColumns);
  const products = new Products(matrices);
  let place = 0;
  const take = (/** @type {number} */ length) => bytes.slice(place, (place += length)).buffer;
  /** @type {Record<string, Matrix | Float32Array>} */
  const weights = {};
  for (const [name, [numRows, numColumns]] of Object.entries(shapes)) {
    const floats = new Float32Array(take(4 * numRows));
    weights[name] = numColumns
      ? products.matrix(new Int8Array(take(numRows * numColumns)), floats)
      : floats;
  }
  return weights;
}
