// A distribution over symbols: natural logarithms of probabilities, by number.

/**
 * Return the most likely symbols, in order; of equal ones the first.
 * @param {Vector} logP @param {number} [count]
 */
function ranked(logP, count = Infinity) {
  return Array.from(logP.keys())
    .sort((a, b) => logP[b] - logP[a])
    .slice(0, count);
}

/** Return the entropy of a distribution, in bits. @param {Vector} logP */
function entropyBits(logP) {
  let nats = 0;
  for (const value of logP) if (value > -Infinity) nats -= Math.exp(value) * value;
  return nats / Math.LN2;
}

/**
 * Return log-probabilities at a temperature, for sampling: unknown can't be drawn.
 * @param {Vector} logP @param {number} temperature
 */
function tempered(logP, temperature) {
  const known = Float64Array.from(logP, (value, number) => (number ? value : -Infinity));
  const highest = known.reduce((a, b) => Math.max(a, b));
  if (temperature === 0) return known.map((value) => (value === highest ? 0 : -Infinity));
  const scaled = known.map((value) => (value - highest) / temperature);
  const sum = Math.log(scaled.reduce((total, value) => total + Math.exp(value), 0));
  return scaled.map((value) => value - sum);
}
