// One unit's step as arithmetic that can be followed by hand: analysis/unit.py, name for name.

const NUM_LARGEST = 3;

/** What a row of a matrix makes of a vector: each product, and their sum. */
function products(matrix, row, vector) {
  const each = matrix.row(row).map((weight, number) => weight * vector[number]);
  return { each, sum: each.reduce((a, b) => a + b, 0) };
}

/** The contributions that are largest, whatever their sign. */
function largest(parts) {
  const all = parts.flatMap(({ from, each }) =>
    Array.from(each, (value, unit) => ({ from, unit, value })),
  );
  return all.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, NUM_LARGEST);
}

/**
 * What a unit did when it read `symbol`.
 *
 * For each gate: `input`, `hidden` and `bias`, which add up to `preActivation`; its `value`; and
 * the contributions that are largest, of units of the layer below ("below") and of the same layer
 * one step before ("hidden"). A block with a recurrent gate, such as a GRU's candidate, reads the hidden state
 * through it.
 */
function unitStep(stack, { before, after, symbol, layer, unit }) {
  const { spec } = stack.config;
  const { weightIh, weightHh, biasIh, biasHh } = stack.layers[layer];
  const below = layer
    ? stack.valuesOf(after, layer - 1, "hidden")
    : stack.embedding.row(symbol);
  const hidden = stack.valuesOf(before, layer, "hidden");
  const value = (state, name) => stack.valuesOf(state, layer, name)[unit];
  const gates = spec.drawn.map((name) => {
    const row = spec.blocks.indexOf(name) * stack.size + unit;
    const gate = spec.recurrentGates[name];
    const share = gate ? value(after, gate) : 1;
    const read = products(weightIh, row, below);
    const kept = products(weightHh, row, hidden);
    const parts = [{ from: "hidden", each: kept.each.map((one) => share * one) }];
    // Numbers of an embedding have no meaning of their own; units below have a name.
    if (layer) parts.push({ from: "below", each: read.each });
    const bias = biasIh[row] + share * biasHh[row];
    return {
      name,
      input: read.sum,
      hidden: share * kept.sum,
      bias,
      preActivation: read.sum + share * kept.sum + bias,
      value: value(after, name),
      largest: largest(parts),
    };
  });
  const step = { gates, hiddenBefore: hidden[unit], hidden: value(after, "hidden") };
  if (!spec.hasCellState) return step;
  return { ...step, cellBefore: value(before, "cell"), cell: value(after, "cell") };
}
