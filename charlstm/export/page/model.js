// One step of the recurrent cells, with the gates in sight: cell.py, name for name.
//
// H hidden size, V symbols that can be predicted. Gates stand in PyTorch's order: LSTM input,
// forget, candidate, output; GRU reset, update, candidate.

/** Rows of 8-bit integers, each with its own scale: row r stands for scales[r] * values[r]. */
class Matrix {
  constructor(values, scales) {
    this.values = values;
    this.scales = scales;
    this.numColumns = values.length / scales.length;
  }

  times(x) {
    const { values, scales, numColumns } = this;
    const product = new Float32Array(scales.length);
    for (let row = 0, place = 0; row < scales.length; row += 1) {
      // Two sums at a time keep the processor busy.
      let even = 0;
      let odd = 0;
      let column = 0;
      for (; column + 1 < numColumns; column += 2, place += 2) {
        even += values[place] * x[column];
        odd += values[place + 1] * x[column + 1];
      }
      if (column < numColumns) {
        even += values[place] * x[column];
        place += 1;
      }
      product[row] = scales[row] * (even + odd);
    }
    return product;
  }

  row(number) {
    const first = number * this.numColumns;
    const scale = this.scales[number];
    return Float32Array.from(
      this.values.subarray(first, first + this.numColumns),
      (value) => scale * value,
    );
  }
}

const plus = (a, b) => a.map((value, number) => value + b[number]);
const tanh = (a) => a.map(Math.tanh);
const sigmoid = (a) => a.map((value) => 1 / (1 + Math.exp(-value)));

/** A vector in equal parts. */
function split(a, numParts) {
  const size = a.length / numParts;
  return Array.from({ length: numParts }, (_, part) => a.subarray(part * size, (part + 1) * size));
}

/** One LSTM step; `read` is the input's part, W_ih x + b_ih. */
function lstmStep(read, h, c, weightHh, biasHh) {
  const [aI, aF, aG, aO] = split(plus(read, plus(weightHh.times(h), biasHh)), 4);
  const [i, f, o] = [sigmoid(aI), sigmoid(aF), sigmoid(aO)];
  const g = tanh(aG);
  const kept = c.map((value, unit) => f[unit] * value + i[unit] * g[unit]);
  const shown = kept.map((value, unit) => o[unit] * Math.tanh(value));
  return { h: shown, c: kept, gates: { input: i, forget: f, output: o }, candidate: g };
}

/** One GRU step; c is not used. */
function gruStep(read, h, c, weightHh, biasHh) {
  const [readR, readZ, readN] = split(read, 3);
  const [keptR, keptZ, keptN] = split(plus(weightHh.times(h), biasHh), 3);
  const r = sigmoid(plus(readR, keptR));
  const z = sigmoid(plus(readZ, keptZ));
  const n = tanh(readN.map((value, unit) => value + r[unit] * keptN[unit]));
  const shown = h.map((value, unit) => (1 - z[unit]) * n[unit] + z[unit] * value);
  return { h: shown, c: shown, gates: { reset: r, update: z }, candidate: n };
}

/** One step of a plain recurrent network; c is not used. */
function rnnStep(read, h, c, weightHh, biasHh) {
  const shown = tanh(plus(read, plus(weightHh.times(h), biasHh)));
  return { h: shown, c: shown, gates: {}, candidate: shown };
}

const STEPS = { lstm: lstmStep, gru: gruStep, rnn: rnnStep };

/** Natural logarithms of probabilities; unknown, number 0, gets at least `unknownProbability`. */
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

/** A whole model: embedding, stacked cells, head. A state is one step's result a layer. */
class CellStack {
  constructor(config, weights) {
    this.config = config;
    this.step = STEPS[config.cell];
    this.embedding = weights["embedding.weight"];
    this.layers = Array.from({ length: config.numLayers }, (_, number) =>
      ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(
        (name) => weights[`layers.${number}.${name}_l0`],
      ),
    );
    this.headWeight = weights["head.weight"];
    this.headBias = weights["head.bias"];
  }

  /** The state before the first character: zero, and the boundary symbol read. */
  start() {
    const zeros = new Float32Array(this.config.hiddenSize);
    const before = this.layers.map(() => ({ h: zeros, c: zeros }));
    return this.read(this.config.boundary, before);
  }

  /** The state after one more symbol; after what ends a document the next one begins. */
  read(symbol, before) {
    if (symbol === this.config.end) return this.start();
    let z = this.embedding.row(symbol);
    return this.layers.map(([weightIh, weightHh, biasIh, biasHh], number) => {
      const { h, c } = before[number];
      const after = this.step(plus(weightIh.times(z), biasIh), h, c, weightHh, biasHh);
      z = after.h;
      return after;
    });
  }

  /** Natural logarithms of the next symbol's probabilities, [V]. */
  predict(state) {
    const logits = plus(this.headWeight.times(state.at(-1).h), this.headBias);
    return logSoftmax(logits, this.config.unknownProbability);
  }
}

/** Weights from the page's own bytes: scales and integers of matrices, float32 vectors. */
function unpackWeights(base64, shapes) {
  const decoded = atob(base64);
  const bytes = new Uint8Array(decoded.length);
  for (let number = 0; number < bytes.length; number += 1) bytes[number] = decoded.charCodeAt(number);
  let place = 0;
  const take = (length) => bytes.slice(place, (place += length)).buffer;
  const weights = {};
  for (const [name, [numRows, numColumns]] of Object.entries(shapes)) {
    const floats = new Float32Array(take(4 * numRows));
    weights[name] = numColumns ? new Matrix(new Int8Array(take(numRows * numColumns)), floats) : floats;
  }
  return weights;
}
