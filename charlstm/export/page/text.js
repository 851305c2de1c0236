// The page's text: its symbols, with surprisal and unit value of each as the worker reports them.

const NOTICED_CHANGE = 0.1; // bits

class ReadText {
  constructor() {
    /** @type {TextSymbol[]} */
    this.symbols = [];
    this.version = 0;
    /** @type {number[]} */
    this.bits = []; // of each symbol that has been read
    /** @type {number[]} */
    this.values = []; // of the selected unit, after each symbol
    /** @type {(number | undefined)[]} */
    this.earlierBits = []; // of the symbols after the last edit, before it
  }

  get isRead() {
    return this.bits.length === this.symbols.length;
  }

  /**
   * Replace the text; return how many symbols at its start and end are unchanged.
   * @param {TextSymbol[]} symbols
   */
  replace(symbols) {
    const old = this.symbols;
    const shortest = Math.min(old.length, symbols.length);
    let same = 0;
    while (same < shortest && old[same].code === symbols[same].code) same += 1;
    let tail = 0;
    while (tail < shortest - same && old.at(-1 - tail)?.code === symbols.at(-1 - tail)?.code) tail += 1;
    // A character of several bytes is kept or replaced as a whole.
    /** @param {TextSymbol[]} all @param {number} place */
    const splits = (all, place) => place > 0 && all[place - 1].end === all[place]?.end;
    while (splits(old, same) || splits(symbols, same)) same -= 1;
    while (tail && (splits(old, old.length - tail) || splits(symbols, symbols.length - tail))) tail -= 1;
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
    this.version += 1;
    this.bits.length = Math.min(this.bits.length, same);
    this.values.length = Math.min(this.values.length, same);
    return { same, tail };
  }

  /**
   * Store what the worker read, from symbol `first` on.
   * @param {{ first: number, bits: number[], values: number[] }} read
   */
  know({ first, bits, values }) {
    this.bits.splice(first, Infinity, ...bits);
    this.values.splice(first, Infinity, ...values);
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
   * @param {number} place @param {number | null} end
   */
  documentBefore(place, end) {
    const read = this.symbols.slice(0, place);
    return read.slice(read.findLastIndex(({ number }) => number === end) + 1);
  }

  meanBits() {
    return this.bits.reduce((a, b) => a + b, 0) / this.bits.length;
  }

  /** Return the place of the most surprising symbol; -1 if nothing was read. */
  mostSurprising() {
    return this.bits.indexOf(Math.max(...this.bits));
  }

  /** Return the place of the symbol that changed the selected unit most. */
  largestStep() {
    const steps = this.values.map((value, place) => Math.abs(value - (this.values[place - 1] ?? 0)));
    return steps.indexOf(Math.max(...steps.slice(1)));
  }
}
