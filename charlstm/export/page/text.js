// What the page knows of its text: symbols, and what the worker told about each.

const NOTICED_CHANGE = 0.1; // bits

class ReadText {
  constructor() {
    this.symbols = [];
    this.version = 0;
    this.bits = []; // what each symbol cost, as far as it is known
    this.values = []; // of the unit that is followed, after each symbol
    this.earlierBits = []; // before the last edit, for the symbols after it
  }

  get isRead() {
    return this.bits.length === this.symbols.length;
  }

  /** Another text; how many symbols at its beginning and its end are the same as before. */
  replace(symbols) {
    const old = this.symbols;
    const shortest = Math.min(old.length, symbols.length);
    let same = 0;
    while (same < shortest && old[same].code === symbols[same].code) same += 1;
    let tail = 0;
    while (tail < shortest - same && old.at(-1 - tail).code === symbols.at(-1 - tail).code) {
      tail += 1;
    }
    if (same < old.length || same < symbols.length) {
      const first = symbols.length - tail;
      const moved = symbols.length - old.length;
      const { bits } = this;
      // Where more was replaced than follows, it is another text and no edit of this one.
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

  /** What the worker read, from symbol `first` on. */
  know({ first, bits, values }) {
    this.bits.splice(first, Infinity, ...bits);
    this.values.splice(first, Infinity, ...values);
  }

  /** How much more a symbol costs since the last edit; undefined where there is nothing to compare. */
  change(place) {
    const [now, earlier] = [this.bits[place], this.earlierBits[place]];
    return now === undefined || earlier === undefined ? undefined : now - earlier;
  }

  /** The change where it is large enough to be shown, else 0. */
  noticedChange(place) {
    const change = this.change(place) ?? 0;
    return Math.abs(change) >= NOTICED_CHANGE ? change : 0;
  }

  meanBits() {
    return this.bits.reduce((a, b) => a + b, 0) / this.bits.length;
  }

  /** The place of the most expensive symbol; -1 where nothing was read. */
  mostExpensive() {
    return this.bits.indexOf(Math.max(...this.bits));
  }

  /** The place of the symbol that changed the followed unit most. */
  largestStep() {
    const steps = this.values.map((value, place) => Math.abs(value - (this.values[place - 1] ?? 0)));
    return steps.indexOf(Math.max(...steps.slice(1)));
  }
}
