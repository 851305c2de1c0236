// One step of each cell, as numbers. The order of gates and of values comes with the model
// (`config.spec`, Python's `CellSpec`).
//
// H hidden size. `read` is W_ih x + b_ih and `kept` W_hh h + b_hh, in PyTorch's order of gates;
// `before` and `after` are a layer's part of a state, its values in the order of `config.spec.names`.

/** @param {number} value */
const sigmoid = (value) => 1 / (1 + Math.exp(-value));

/** @typedef {(read: Float32Array, kept: Float32Array, before: Float32Array, after: Float32Array) => void} Step */

/** One LSTM step: `read` and `kept` are [4H], `before` and `after` [6H]. @type {Step} */
const lstmStep = (read, kept, before, after) => {
  const size = read.length / 4;
  for (let unit = 0; unit < size; unit += 1) {
    const [i, f, g, o] = [unit, size + unit, 2 * size + unit, 3 * size + unit];
    const input = sigmoid(read[i] + kept[i]);
    const forget = sigmoid(read[f] + kept[f]);
    const candidate = Math.tanh(read[g] + kept[g]);
    const output = sigmoid(read[o] + kept[o]);
    const cell = forget * before[4 * size + unit] + input * candidate;
    after[unit] = input;
    after[size + unit] = forget;
    after[2 * size + unit] = output;
    after[3 * size + unit] = candidate;
    after[4 * size + unit] = cell;
    after[5 * size + unit] = output * Math.tanh(cell);
  }
};

/** One GRU step: `read` and `kept` are [3H], `before` and `after` [4H]. @type {Step} */
const gruStep = (read, kept, before, after) => {
  const size = read.length / 3;
  for (let unit = 0; unit < size; unit += 1) {
    const [r, z, n] = [unit, size + unit, 2 * size + unit];
    const reset = sigmoid(read[r] + kept[r]);
    const update = sigmoid(read[z] + kept[z]);
    const candidate = Math.tanh(read[n] + reset * kept[n]);
    after[unit] = reset;
    after[size + unit] = update;
    after[2 * size + unit] = candidate;
    after[3 * size + unit] = (1 - update) * candidate + update * before[3 * size + unit];
  }
};

/** One step of a plain recurrent network: all are [H]. @type {Step} */
const rnnStep = (read, kept, before, after) => {
  for (let unit = 0; unit < read.length; unit += 1) after[unit] = Math.tanh(read[unit] + kept[unit]);
};

const STEPS = { lstm: lstmStep, gru: gruStep, rnn: rnnStep };
