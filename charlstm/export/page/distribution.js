// A distribution over symbols: natural logarithms of probabilities, by number.

/** The most likely symbols, in order; of equal ones the first. */
function ranked(logP, count = Infinity) {
  return Array.from(logP.keys())
    .sort((a, b) => logP[b] - logP[a])
    .slice(0, count);
}

/** Entropy of a distribution, in bits. */
function entropyBits(logP) {
  return logP.reduce((sum, value) => sum - Math.exp(value) * value, 0) / Math.LN2;
}

/** Logarithms of the probabilities that are drawn from at a temperature; unknown can't be drawn. */
function tempered(logP, temperature) {
  const known = logP.map((value, number) => (number ? value : -Infinity));
  const highest = known.reduce((a, b) => Math.max(a, b));
  if (temperature === 0) return known.map((value) => (value === highest ? 0 : -Infinity));
  const scaled = known.map((value) => (value - highest) / temperature);
  const sum = Math.log(scaled.reduce((total, value) => total + Math.exp(value), 0));
  return scaled.map((value) => value - sum);
}
