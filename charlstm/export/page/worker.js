// The worker: reads, predicts and samples in the background, so that the page never waits.
//
// It gets the text and the position shown, works in short turns, and posts `read`, `next`, `unit`,
// `maps`, `contexts` and `written`, each with the version of the text it belongs to.

const TURN = 12; // milliseconds of work between messages

class Desk {
  /** @param {{ config: Config, weights: string }} model */
  constructor({ config, weights }) {
    this.stack = new CellStack(config, unpackWeights(weights, config.shapes));
    this.reading = new Reading(this.stack);
    this.version = 0;
    /** @type {any} */
    this.view = undefined; // a `View`, after the page's first message
    this.numPosted = -1; // symbols that the page knows about
    /** @type {any} */
    this.contexts = undefined; // predictions by context length at the position shown
    /** @type {any} */
    this.sample = undefined; // the last one that the page asked for
  }

  /**
   * Set what the page shows.
   *
   * `text`: the new text's symbols; the first `same` are unchanged, and the page has the bits of the
   * first `known`. Absent if the text is the same. `place`: number of symbols before the position
   * shown. `layer`, `unit`: the selected unit. `stretch`: range and units of the heat maps, absent
   * while they are folded.
   *
   * @param {View & { version: number, text?: any }} message
   */
  show({ version, text, ...view }) {
    this.version = version;
    if (text) {
      this.reading.replace(text.same, text.symbols);
      // The page drops answers for the earlier text that were still under way.
      this.numPosted = Math.min(this.numPosted, text.known);
    }
    const { layer, unit } = this.view ?? {};
    if (layer !== view.layer || unit !== view.unit) this.numPosted = -1;
    this.view = view;
    this.isPlacePosted = this.isStretchPosted = false;
    this.contexts = undefined;
  }

  /**
   * Sample from the position shown, even if the text changes meanwhile.
   * @param {{ id: number, temperature: number, seed: number, length: number }} message
   */
  write({ id, seed, length, temperature }) {
    const { states, symbols } = this.reading;
    const { place } = this.view;
    const read = Math.min(place, states.length - 1);
    const options = { unread: symbols.slice(read, place), temperature, random: randomNumbers(seed) };
    this.sample = { id, length, symbols: [], drawn: drawnSymbols(this.stack, states[read], options) };
  }

  stop() {
    if (!this.sample) return;
    this.sample.length = 0;
    this.postWritten();
  }

  post(kind, values) {
    postMessage({ kind, version: this.version, ...values });
  }

  /** Work for one turn, starting with what is visible; return whether there is more to do. */
  turn() {
    if (!this.view) return false;
    const until = performance.now() + TURN;
    const hasTime = () => performance.now() < until;
    while (!this.reading.isDone && hasTime()) this.reading.advance();
    this.postRead();
    this.postPlace();
    this.postStretch();
    return !this.reading.isDone || this.predictContexts(hasTime) || this.drawSample(hasTime);
  }

  postRead() {
    const { numRead, bits, states } = this.reading;
    if (this.numPosted >= numRead) return;
    const { layer, unit } = this.view;
    const first = Math.max(0, this.numPosted);
    const values = states.slice(first + 1).map((state) => shade(this.stack, state, layer, unit));
    this.post("read", { first, bits: bits.slice(first, numRead), layer, unit, values });
    this.numPosted = numRead;
  }

  /** Post the prediction at the position shown, and the unit's step. */
  postPlace() {
    const { place, layer, unit } = this.view;
    const { states, symbols } = this.reading;
    if (this.isPlacePosted || !states[place]) return;
    this.isPlacePosted = true;
    this.post("next", { place, logP: this.stack.predict(states[place]) });
    // A document begins with BOS, read from a zero state.
    const { boundary, end } = this.stack.config;
    const isFirst = place === 0 || symbols[place - 1] === end;
    const step = unitStep(this.stack, {
      before: isFirst ? this.stack.zero() : states[place - 1],
      after: states[place],
      symbol: isFirst ? boundary : symbols[place - 1],
      layer,
      unit,
    });
    this.post("unit", { place, layer, unit, isFirst, step });
  }

  /** Post the values of some units of each layer over a part of the text, [places x units] by name. */
  postStretch() {
    const { stretch } = this.view;
    const { states, isDone } = this.reading;
    if (!stretch || this.isStretchPosted) return;
    if (!isDone && states.length <= stretch.last) return;
    this.isStretchPosted = true;
    const shown = states.slice(stretch.first, stretch.last + 1);
    const layers = stretch.units.map((units, layer) =>
      Object.fromEntries(
        this.stack.names.map((name) => {
          const of = (state) => this.stack.valuesOf(state, layer, name);
          return [name, Float32Array.from(shown.flatMap((state) => units.map((one) => of(state)[one])))];
        }),
      ),
    );
    this.post("maps", { ...stretch, numPlaces: shown.length, layers });
  }

  predictContexts(hasTime) {
    const { place } = this.view;
    const { symbols, states } = this.reading;
    if (!states[place] || this.contexts?.isDone) return false;
    if (!this.contexts) {
      const { end } = this.stack.config;
      const read = symbols.slice(0, place);
      const document = read.slice(end === null ? 0 : read.lastIndexOf(end) + 1);
      const found = contextLengths(this.stack, document, states[place]);
      this.contexts = { found, contexts: [], isDone: false };
    }
    const { found, contexts } = this.contexts;
    while (!this.contexts.isDone && hasTime()) {
      const { value, done } = found.next();
      if (value) contexts.push(value);
      this.contexts.isDone = done;
    }
    this.post("contexts", { place, contexts, isDone: this.contexts.isDone });
    return true;
  }

  drawSample(hasTime) {
    if (!this.sample) return false;
    const { symbols, length, drawn } = this.sample;
    if (symbols.length >= length) return false;
    while (symbols.length < length && hasTime()) {
      const { value } = drawn.next();
      if (value !== undefined) symbols.push(value);
    }
    this.postWritten();
    return true;
  }

  postWritten() {
    const { id, symbols, length } = this.sample;
    this.post("written", { id, symbols, isDone: symbols.length >= length });
  }
}

/** Return a unit's state, from -1 to 1. */
function shade(stack, state, layer, unit) {
  if (!stack.config.spec.hasCellState) return stack.valuesOf(state, layer, "hidden")[unit];
  return Math.tanh(stack.valuesOf(state, layer, "cell")[unit]);
}

/** Pass messages to the desk, between its turns. */
function startWorker() {
  let desk;
  let isWorking = false;
  const channel = new MessageChannel(); // a timer would wait some milliseconds
  const work = () => {
    isWorking = desk.turn();
    if (isWorking) channel.port2.postMessage(undefined);
  };
  channel.port1.onmessage = work;
  onmessage = ({ data: { kind, ...values } }) => {
    if (kind === "start") {
      desk = new Desk(values);
      return;
    }
    desk[kind](values);
    if (!isWorking) work();
  };
}

startWorker();
