// One unit's step as sums that can be checked by hand, as in analysis/unit.py.

/**
 * Return the product of one row of a matrix with a vector.
 * @param {Matrix} matrix @param {number} row @param {Float32Array} vector
 */
const rowProduct = (matrix, row, vector) =>
  matrix.row(row).reduce((sum, weight, column) => sum + weight * vector[column], 0);

/**
 * Return a unit's step on reading `symbol`.
 *
 * For each gate: `input`, `hidden` and `bias`, which add up to `preActivation`, and its `value`. A
 * block with a recurrent gate, such as a GRU's candidate, reads the hidden state through it.
 *
 * @param {CellStack} stack
 * @param {{ before: Float32Array, after: Float32Array, symbol: number, layer: number, unit: number }} at
 * @returns {UnitStep}
 */
function unitStep(stack, { before, after, symbol, layer, unit }) {
  const { spec } = stack.config;
  const { weightIh, weightHh, biasIh, biasHh } = stack.layers[layer];
  const below = layer
    ? stack.valuesOf(after, layer - 1, "hidden")
    : stack.embedding.row(symbol);
  const hidden = stack.valuesOf(before, layer, "hidden");
  /** @param {Float32Array} state @param {string} name */
  const value = (state, name) => stack.valuesOf(state, layer, name)[unit];
  const gates = spec.drawn.map((name) => {
    const row = spec.blocks.indexOf(name) * stack.size + unit;
    const gate = spec.recurrentGates[name];
    const openness = gate ? value(after, gate) : 1;
    const input = rowProduct(weightIh, row, below);
    const kept = openness * rowProduct(weightHh, row, hidden);
    const bias = biasIh[row] + openness * biasHh[row];
    return { name, input, hidden: kept, bias, preActivation: input + kept + bias, value: value(after, name) };
  });
  const step = { gates, hiddenBefore: hidden[unit], hidden: value(after, "hidden") };
  if (!spec.hasCellState) return step;
  return { ...step, cellBefore: value(before, "cell"), cell: value(after, "cell") };
}
