// What is peculiar to each cell: one step, how it is drawn, and what is said of it. All else, such as
// the order of gates, comes with the model (`config.spec`, Python's `CellSpec`).
//
// H hidden size. `read` is W_ih x + b_ih and `kept` W_hh h + b_hh, in PyTorch's order of gates;
// `before` and `after` are a layer's part of a state, its values in the order of `config.spec.names`.

const sigmoid = (value) => 1 / (1 + Math.exp(-value));

/** One LSTM step. */
function lstmStep(read, kept, before, after) {
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
}

/** One GRU step: `read` and `kept` are [3H], `before` and `after` [4H]. */
function gruStep(read, kept, before, after) {
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
}

/** One step of a plain recurrent network: all are [H]. */
function rnnStep(read, kept, before, after) {
  for (let unit = 0; unit < read.length; unit += 1) after[unit] = Math.tanh(read[unit] + kept[unit]);
}

const signed = (value, digits = 2) => value.toFixed(digits).replace("-", "\u2212");
const exact = (value) => signed(value, 3);
const percent = (value) => `${Math.round(100 * value)}\u00a0%`;
const times = "\u00d7";

/** Values between 0 and 1. */
const isGate = (name) => ["input", "forget", "output", "reset", "update"].includes(name);

/**
 * By cell: `step` computes it; `flows` names what flows where; `drawing` says where everything
 * stands (a line carries a value: its color is the sign, its width the size; boxes are the gates
 * and the candidate; nodes combine what arrives); `memory`, `words` and `equations` describe it.
 */
const CELLS = {
  lstm: {
    step: lstmStep,
    flows: (gates, { cellBefore: before, cell, hidden }) => ({
      ...gates,
      before,
      kept: gates.forget * before,
      entered: gates.input * gates.candidate,
      cell,
      squashed: Math.tanh(cell),
      hidden,
    }),
    memory: "Its memory is the cell state, the line along the top.",
    words: (flows, where) =>
      `${where}, the forget gate keeps ${percent(flows.forget)} of the cell state ${signed(flows.before)}. ` +
      `The input gate lets ${percent(flows.input)} of the candidate ${signed(flows.candidate)} in. ` +
      `The output gate shows ${percent(flows.output)} of the new cell state, squashed by tanh.`,
    equations: (flows) => [
      `cell state now = forget ${times} cell state before + input ${times} candidate = ` +
        `${exact(flows.forget)} ${times} ${exact(flows.before)} + ${exact(flows.input)} ${times} ` +
        `${exact(flows.candidate)} = ${exact(flows.cell)}`,
      `hidden state h = output ${times} tanh(cell state now) = ` +
        `${exact(flows.output)} ${times} ${exact(flows.squashed)} = ${exact(flows.hidden)}`,
    ],
    drawing: {
      boxes: { forget: 110, input: 230, candidate: 350, output: 470 },
      nodes: { "\u00d7 forget": [110, 50], "+": [290, 50], "\u00d7 input": [290, 130],
        "tanh": [530, 105], "\u00d7 output": [530, 175] },
      lines: [
        ["before", [[6, 50], [96, 50]]],
        ["kept", [[124, 50], [276, 50]]],
        ["entered", [[290, 116], [290, 64]]],
        ["cell", [[304, 50], [594, 50]]],
        ["cell", [[530, 50], [530, 91]]],
        ["squashed", [[530, 119], [530, 161]]],
        ["hidden", [[544, 175], [594, 175]]],
        ["forget", [[110, 222], [110, 64]]],
        ["input", [[230, 222], [230, 130], [276, 130]]],
        ["candidate", [[350, 222], [350, 130], [304, 130]]],
        ["output", [[470, 222], [470, 175], [516, 175]]],
      ],
      labels: [
        ["cell state before", "before", 6, 28, "start"],
        ["cell state now", "cell", 594, 28, "end"],
        ["h now", "hidden", 594, 204, "end"],
      ],
    },
  },
  gru: {
    step: gruStep,
    flows: (gates, { hiddenBefore: before, hidden }) => ({
      ...gates,
      open: 1 - gates.update,
      before,
      kept: gates.update * before,
      entered: (1 - gates.update) * gates.candidate,
      hidden,
    }),
    memory: "Its memory is the hidden state, the line along the top.",
    words: (flows, where) =>
      `${where}, the update gate keeps ${percent(flows.update)} of the hidden state ${signed(flows.before)} ` +
      `and fills the rest with the candidate ${signed(flows.candidate)}; for the candidate the reset gate ` +
      `lets ${percent(flows.reset)} of the last hidden state through.`,
    equations: (flows) => [
      `h now = update ${times} h before + (1 \u2212 update) ${times} candidate = ` +
        `${exact(flows.update)} ${times} ${exact(flows.before)} + ${exact(flows.open)} ${times} ` +
        `${exact(flows.candidate)} = ${exact(flows.hidden)}`,
    ],
    drawing: {
      boxes: { update: 110, candidate: 290, reset: 450 },
      nodes: { "\u00d7 update": [110, 50], "+": [290, 50], "\u00d7 (1 \u2212 update)": [290, 130] },
      lines: [
        ["before", [[6, 50], [96, 50]]],
        ["kept", [[124, 50], [276, 50]]],
        ["entered", [[290, 116], [290, 64]]],
        ["hidden", [[304, 50], [594, 50]]],
        ["update", [[110, 222], [110, 64]]],
        ["open", [[110, 130], [276, 130]]],
        ["candidate", [[290, 222], [290, 144]]],
        ["reset", [[400, 258], [340, 258]]],
      ],
      labels: [
        ["hidden state h before", "before", 6, 28, "start"],
        ["hidden state h now", "hidden", 594, 28, "end"],
        ["1 \u2212 update", "open", 196, 120, "middle"],
      ],
    },
  },
  rnn: {
    step: rnnStep,
    flows: (gates) => gates,
    memory: "",
    words: (flows, where) =>
      `${where}, the hidden state is ${signed(flows.hidden)}. A plain network has no gates: it has no way ` +
      "to keep a value but to compute it anew at each step.",
    equations: (flows, [{ preActivation }]) => [
      `h = tanh(${exact(preActivation)}) = ${exact(flows.hidden)}`,
    ],
    drawing: {
      boxes: { hidden: 290 },
      nodes: {},
      lines: [["hidden", [[290, 222], [290, 50], [594, 50]]]],
      labels: [["hidden state h", "hidden", 594, 28, "end"]],
    },
  },
};

/** What flows where in a step. */
function flowsOf(step, cell) {
  const gates = Object.fromEntries(step.gates.map(({ name, value }) => [name, value]));
  return CELLS[cell].flows(gates, step);
}
