// How each cell is drawn and described; what it computes is in steps.js.

/** @param {number} value @param {number} [digits] */
const signed = (value, digits = 2) => value.toFixed(digits).replace("-", "\u2212");
/** @param {number} value */
const exact = (value) => signed(value, 3);
/** @param {number} value */
const percent = (value) => `${Math.round(100 * value)}\u00a0%`;

/** Whether values of a name are between 0 and 1. @param {string} name */
const isGate = (name) => ["input", "forget", "output", "reset", "update"].includes(name);

/** @param {string} name */
const titleOfValue = (name) => (name === "hidden" ? "hidden state" : name);

/**
 * By cell: `flows` names the values that the lines carry; `drawing` has coordinates (a line's color
 * is its value's sign, its width the size; boxes are the gates and the candidate; nodes combine
 * what arrives); `memory`, `words` and `equations` describe the cell.
 *
 * @typedef {Record<string, number>} Flows
 * @typedef {[x: number, y: number]} Point
 * @type {Record<Cell, {
 *   flows: (gates: Flows, step: UnitStep) => Flows,
 *   memory: string,
 *   words: (flows: Flows, where: string) => string,
 *   equations: (flows: Flows, gates: GateStep[]) => string[],
 *   drawing: {
 *     boxes: Flows,
 *     nodes: Record<string, Point>,
 *     lines: [name: string, points: Point[]][],
 *     labels: [text: string, name: string, x: number, y: number, anchor: string][],
 *   },
 * }>}
 */
const CELLS = {
  lstm: {
    flows: (gates, { cellBefore: before = 0, cell = 0, hidden }) => ({
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
      `The output gate shows ${percent(flows.output)} of tanh of the new cell state.`,
    equations: (flows) => [
      `cell state now = forget \u00d7 cell state before + input \u00d7 candidate = ` +
        `${exact(flows.forget)} \u00d7 ${exact(flows.before)} + ${exact(flows.input)} \u00d7 ` +
        `${exact(flows.candidate)} = ${exact(flows.cell)}`,
      `hidden state h = output \u00d7 tanh(cell state now) = ` +
        `${exact(flows.output)} \u00d7 ${exact(flows.squashed)} = ${exact(flows.hidden)}`,
    ],
    drawing: {
      boxes: { forget: 68, input: 202, candidate: 336, output: 470 },
      nodes: { "\u00d7 forget": [68, 50], "+": [269, 50], "\u00d7 input": [269, 130],
        "tanh": [550, 95], "\u00d7 output": [550, 160] },
      lines: [
        ["before", [[6, 50], [54, 50]]],
        ["kept", [[82, 50], [255, 50]]],
        ["entered", [[269, 116], [269, 64]]],
        ["cell", [[283, 50], [594, 50]]],
        ["cell", [[550, 50], [550, 77]]],
        ["squashed", [[550, 113], [550, 146]]],
        ["hidden", [[564, 160], [594, 160]]],
        ["forget", [[68, 222], [68, 64]]],
        ["input", [[202, 222], [202, 130], [255, 130]]],
        ["candidate", [[336, 222], [336, 130], [283, 130]]],
        ["output", [[438, 222], [438, 160], [536, 160]]],
      ],
      labels: [
        ["cell state before", "before", 6, 24, "start"],
        ["cell state now", "cell", 594, 24, "end"],
        ["h now", "hidden", 594, 200, "end"],
      ],
    },
  },
  gru: {
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
      `h now = update \u00d7 h before + (1 \u2212 update) \u00d7 candidate = ` +
        `${exact(flows.update)} \u00d7 ${exact(flows.before)} + ${exact(flows.open)} \u00d7 ` +
        `${exact(flows.candidate)} = ${exact(flows.hidden)}`,
    ],
    drawing: {
      boxes: { update: 110, candidate: 290, reset: 470 },
      nodes: { "\u00d7 update": [110, 50], "+": [290, 50], "\u00d7 (1 \u2212 update)": [290, 130] },
      lines: [
        ["before", [[6, 50], [96, 50]]],
        ["kept", [[124, 50], [276, 50]]],
        ["entered", [[290, 116], [290, 64]]],
        ["hidden", [[304, 50], [594, 50]]],
        ["update", [[110, 222], [110, 64]]],
        ["open", [[110, 130], [276, 130]]],
        ["candidate", [[290, 222], [290, 144]]],
        ["reset", [[406, 262], [354, 262]]],
      ],
      labels: [
        ["h before", "before", 6, 24, "start"],
        ["h now", "hidden", 594, 24, "end"],
        ["1 \u2212 update", "open", 196, 120, "middle"],
      ],
    },
  },
  rnn: {
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
      labels: [["hidden state h", "hidden", 594, 24, "end"]],
    },
  },
};

/** Return the values that the lines of a drawing carry. @param {UnitStep} step @param {Cell} cell */
function flowsOf(step, cell) {
  const gates = Object.fromEntries(step.gates.map(({ name, value }) => [name, value]));
  return CELLS[cell].flows(gates, step);
}
