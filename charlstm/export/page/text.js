// The page's text: its symbols, and the model's state after each and surprisal at each as they are read.

const NOTICED_CHANGE = 0.1; // bits

class ReadText {
  /** @param {CellStack} stack */
  constructor(stack) {
    this.stack = stack;
    /** @type {TextSymbol[]} */
    this.symbols = [];
    this.states = [stack.start()]; // after 0, 1, 2 ... symbols
    /** @type {number[]} */
    this.bits = []; // of each symbol that has been read
    /** @type {(number | undefined)[]} */
    this.earlierBits = []; // of the symbols after the last edit, before it
  }

  get isRead() {
    return this.bits.length === this.symbols.length;
  }

  /**
   * Replace the text; return how many symbols at its start and end are unchanged. Those at its start
   * are not read again.
   * @param {TextSymbol[]} symbols
   */
  replace(symbols) {
    const old = this.symbols;
    const shortest = Math.min(old.length, symbols.length);
    // Whole characters are compared, so that one of several bytes is kept or replaced as a whole.
    let same = 0;
    while (same < shortest && old[same].char === symbols[same].char) same += 1;
    let tail = 0;
    while (tail < shortest - same && old.at(-1 - tail)?.char === symbols.at(-1 - tail)?.char) tail += 1;
    if (same < old.length || same < symbols.length) {
      const first = symbols.length - tail;
      const moved = symbols.length - old.length;
      const { bits } = this;
      // If more is replaced than follows, it counts as another text, not as an edit.
      const isEdit = Math.max(old.length, symbols.length) - same - tail <= tail;
      this.earlierBits = symbols.map((_, place) =>
        isEdit && place >= first ? bits[place - moved] : undefined,
      );
    }
    this.symbols = symbols;
    this.bits.length = Math.min(this.bits.length, same);
    this.states.length = this.bits.length + 1;
    return { same, tail };
  }

  /** Read one more symbol. */
  advance() {
    const place = this.bits.length;
    const { number } = this.symbols[place];
    const before = this.states[place];
    this.bits.push(-this.stack.predict(before)[number] / BITS);
    this.states.push(this.stack.read(number, before));
  }

  /**
   * Return how many bits the last edit added to a symbol; undefined if one of the two is unknown.
   * @param {number} place
   */
  change(place) {
    const [now, earlier] = [this.bits[place], this.earlierBits[place]];
    return now === undefined || earlier === undefined ? undefined : now - earlier;
  }

  /** Return the change if it is large enough to be shown, else 0. @param {number} place */
  noticedChange(place) {
    const change = this.change(place) ?? 0;
    return Math.abs(change) >= NOTICED_CHANGE ? change : 0;
  }

  /**
   * Return the bits of a character: the sum of its bytes, up to the one at `place`.
   * @param {number} place
   */
  charBits(place) {
    let first = place;
    while (first && this.symbols[first - 1].end === this.symbols[place].end) first -= 1;
    return this.bits.slice(first, place + 1).reduce((a, b) => a + b, 0);
  }

  /**
   * Return the symbols before a place, from the start of its document on.
   * @param {number} place
   */
  documentBefore(place) {
    const { end } = this.stack.config;
    const before = this.symbols.slice(0, place);
    return before.slice(before.findLastIndex(({ number }) => number === end) + 1);
  }

  meanBits() {
    return this.bits.reduce((a, b) => a + b, 0) / this.bits.length;
  }

  /** Return the place of the most surprising symbol; -1 if nothing was read. */
  mostSurprising() {
    return this.bits.indexOf(Math.max(...this.bits));
  }

  /**
   * Return a unit's value after `place` symbols, from -1 to 1: the cell state through tanh, or the
   * hidden state.
   * @param {number} place @param {number} layer @param {number} unit
   */
  valueOf(place, layer, unit) {
    const { hasCellState } = this.stack.config.spec;
    const value = this.stack.valuesOf(this.states[place], layer, hasCellState ? "cell" : "hidden")[unit];
    return hasCellState ? Math.tanh(value) : value;
  }

  /**
   * Return the place of the symbol that changed a unit most, except for the first symbol.
   * @param {number} layer @param {number} unit
   */
  largestStep(layer, unit) {
    const steps = this.bits.map((_, place) =>
      Math.abs(this.valueOf(place + 1, layer, unit) - this.valueOf(place, layer, unit)),
    );
    return steps.indexOf(Math.max(...steps.slice(1)));
  }
}
