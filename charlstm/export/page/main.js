// The controller: handles input; in each frame lets the model work, and draws what has changed.

const LIVE_DELAY = 400; // milliseconds without a key before screen readers announce the prediction
const TURN = 12; // milliseconds of work in a frame; what is drawn needs some, too

class Page {
  /** @param {PageConfig} config @param {string} weights */
  constructor(config, weights) {
    this.config = config;
    this.stack = new CellStack(config, unpackWeights(weights, config.shapes));
    this.alphabet = new Alphabet(config);
    this.text = new ReadText(this.stack);
    this.strip = new Strip(this.alphabet);
    this.steps = surprisalSteps(config.codes.length);
    this.field = element("text");
    this.chosen = 0; // number of symbols before the caret
    this.hovered = undefined; // number of symbols up to the one under the mouse
    const [first] = config.tracked;
    this.layer = first?.layer ?? config.numLayers - 1;
    this.unit = first?.unit ?? config.units[this.layer][0];
    this.shading = "surprisal";
    this.shadedFrom = 0; // the symbols before it are already shaded
    this.stale = new Set(); // functions that redraw parts of the page
    this.build();
    this.trial = new Trial(this);
    this.maps = new Maps(this);
    this.writing = new Writing(this);
    this.tour = new Tour(this);
    this.listen();
    this.field.value = config.text;
    this.field.setSelectionRange(0, 0);
    this.changed();
    this.choose(this.text.symbols.length);
  }

  /** Return the offset in the field after `place` symbols; bytes of one character end together. */
  endOf(place) {
    return place > 0 ? this.text.symbols[place - 1].end : 0;
  }

  /** The number of symbols before the position that the page shows. */
  get place() {
    return this.hovered ?? this.chosen;
  }

  get temperature() {
    return Number(element("temperature").value);
  }

  /** The log-probabilities of the next symbol at this position; undefined until it is read. */
  get logP() {
    const state = this.text.states[this.place];
    return state && this.stack.predict(state);
  }

  /** Whether the position shown is at the start of a document, before its first symbol. */
  get isFirst() {
    return !this.text.documentBefore(this.place).length;
  }

  /** The selected unit's step to this position; a document begins with BOS, from a zero state. */
  get unitStep() {
    const { place, text, stack, layer, unit, isFirst } = this;
    const before = isFirst ? stack.zero() : text.states[place - 1];
    const symbol = isFirst ? this.config.boundary : text.symbols[place - 1].number;
    return unitStep(stack, { before, after: text.states[place], symbol, layer, unit });
  }

  // Work and frames

  /** Let parts of the page be drawn in the next frame. */
  show(...parts) {
    for (const part of parts) this.stale.add(part);
    this.wake();
  }

  wake() {
    if (!this.isAwake) requestAnimationFrame(() => this.frame());
    this.isAwake = true;
  }

  /** Work for a while, and draw what has changed; go on in the next frame if there is more to do. */
  frame() {
    this.isAwake = false;
    const until = performance.now() + TURN;
    let hasWork = true;
    while (hasWork && performance.now() < until) hasWork = this.work();
    const drawn = [...this.stale];
    this.stale.clear();
    for (const draw of drawn) draw.call(this);
    this.tour.draw();
    if (hasWork) this.wake();
  }

  /** Take one step of what is still to do, and return whether there was any. */
  work() {
    return this.read() || this.predictContexts() || this.writing.advance();
  }

  read() {
    const { text } = this;
    if (text.isRead) return false;
    text.advance();
    this.show(this.drawStrip);
    if (text.bits.length === this.place) this.show(this.drawNext, this.drawCell);
    if (text.isRead) this.show(this.maps.draw);
    return true;
  }

  predictContexts() {
    if (this.contexts) return false;
    const { text, place } = this;
    const numbers = text.documentBefore(place).map(({ number }) => number);
    this.predicting ??= contextLengths(this.stack, numbers, text.states[place]);
    const { value, done } = this.predicting.next();
    if (done) {
      this.contexts = value;
      this.show(this.drawContexts);
    }
    return true;
  }

  /** Show another position, or another unit. */
  look() {
    this.contexts = this.predicting = undefined;
    this.strip.choose(this.place);
    this.show(this.drawNext, this.drawCell, this.maps.draw);
  }

  // Input

  /** Handle an edit of the field. */
  changed() {
    const { field, alphabet, text } = this;
    const normalized = alphabet.normalized(field.value);
    if (normalized !== field.value) {
      const caret = alphabet.normalized(field.value.slice(0, field.selectionEnd)).length;
      field.value = normalized;
      field.setSelectionRange(caret, caret);
    }
    const kept = text.replace(alphabet.symbolsOf(field.value));
    this.strip.replace(text.symbols, kept);
    this.shadedFrom = Math.min(this.shadedFrom, kept.same);
    this.lookAt(this.placeOfCaret());
    this.notice();
    this.maps.forget();
    this.show(this.drawStrip, this.writing.draw);
  }

  placeOfCaret() {
    const { selectionDirection, selectionStart, selectionEnd } = this.field;
    const caret = selectionDirection === "backward" ? selectionStart : selectionEnd;
    return this.text.symbols.findLastIndex((symbol) => symbol.end <= caret) + 1;
  }

  caretMoved() {
    const place = this.placeOfCaret();
    const isSame = this.endOf(place) === this.endOf(this.chosen);
    if (!isSame || this.hovered !== undefined) this.lookAt(isSame ? this.chosen : place);
  }

  lookAt(place) {
    this.chosen = place;
    this.hovered = undefined;
    this.look();
    this.strip.follow();
  }

  hover(place) {
    if (place === this.hovered) return;
    this.hovered = place;
    this.look();
  }

  /** Show the position after `place` symbols, and put the caret there. */
  choose(place) {
    const { field, text } = this;
    const known = Math.max(0, Math.min(text.symbols.length, place));
    const end = this.endOf(known);
    field.setSelectionRange(end, end);
    this.lookAt(known);
  }

  /** Show which characters are unknown, and whether the field is full. */
  notice() {
    const { text, alphabet, field } = this;
    const unknown = text.symbols.filter((symbol) => symbol.number === 0);
    const labels = [...new Set(unknown.map((symbol) => alphabet.label(symbol.code)))];
    const named = labels.slice(0, 8).map(quoted).join(" ");
    const more = labels.length > 8 ? ` and ${labels.length - 8} more` : "";
    const words = [];
    if (labels.length) {
      words.push(`Not in the training text, and read as unknown: ${named}${more}.`);
    }
    const limit = field.maxLength.toLocaleString("en");
    if (this.numCut) words.push(`The field holds ${limit} characters: ${this.numCut} left out.`);
    else if (field.value.length >= field.maxLength) words.push(`The field is full: ${limit} characters.`);
    this.numCut = 0;
    element("notice").textContent = words.join(" ");
  }

  /** Replace a part of the text, so that the browser can undo it; keep the focus. */
  insert(text, from, to) {
    const { field } = this;
    const added = withFieldEnds(text);
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const room = field.maxLength - field.value.length + (to - from);
    this.numCut = Math.max(0, added.length - room);
    const fitting = added.slice(0, room);
    if (!fitting && from === to) {
      this.notice();
      return;
    }
    field.focus({ preventScroll: true });
    field.setSelectionRange(from, to);
    const isDone = fitting
      ? document.execCommand("insertText", false, fitting)
      : document.execCommand("delete");
    if (!isDone) {
      field.setRangeText(fitting, from, to, "end");
      this.changed();
    }
    if (this.numCut) this.notice();
    if (focused !== field) focused?.focus({ preventScroll: true });
  }

  /** Insert a predicted symbol at the position shown. */
  write(number) {
    const end = this.endOf(this.place);
    this.choose(this.place);
    this.insert(this.alphabet.textOf([number]), end, end);
  }

  shadeBy(shading) {
    this.shading = shading;
    element(`shade-${shading}`).checked = true;
    this.shadedFrom = 0;
    drawLegend(shading === "surprisal", this.steps);
    this.show(this.drawStrip);
  }

  /** Move by a number of symbols, and let screen readers announce what the cell does there. */
  step(number) {
    this.isStepping = true;
    this.choose(this.chosen + number);
  }

  /** Select another unit for the text, the drawing and the maps. */
  follow(layer, number) {
    this.layer = layer;
    this.unit = Math.max(0, Math.min(this.config.hiddenSize - 1, Math.round(number) || 0));
    this.isStepping = true;
    this.nameUnit();
    this.shadedFrom = 0;
    this.show(this.drawStrip);
    this.look();
  }

  nameUnit() {
    element("layer").value = String(this.layer);
    element("unit").value = String(this.unit);
    const known = this.config.tracked.findIndex((one) => one === this.tracked);
    const other = element("tracked").lastElementChild;
    other.hidden = known >= 0;
    other.textContent = this.unitName();
    element("tracked").value = known < 0 ? "other" : String(known);
  }

  /** The selected unit in the list of units that track something, or undefined. */
  get tracked() {
    return this.config.tracked.find(({ layer, unit }) => layer === this.layer && unit === this.unit);
  }

  unitName(layer = this.layer, number = this.unit) {
    return this.config.numLayers > 1 ? `layer ${layer + 1}, unit ${number}` : `unit ${number}`;
  }

  // Drawing

  drawStrip() {
    const { text, steps } = this;
    const isSurprisal = this.shading === "surprisal";
    this.strip.shade(text, this.shadedFrom, (place) =>
      isSurprisal ? surprisalShade(text.charBits(place), steps) : unitShade(this.valueAt(place + 1)),
    );
    this.shadedFrom = text.bits.length;
    element("strip-words").textContent = isSurprisal ? surprisalWords(text, this.alphabet) : this.unitWords();
  }

  titleOf(place) {
    const bits = this.text.charBits(place - 1).toFixed(2);
    return `${bits} bits; ${this.unitName()}: ${signed(this.valueAt(place))}`;
  }

  /** Return the selected unit's value after `place` symbols. */
  valueAt(place) {
    return this.text.valueOf(place, this.layer, this.unit);
  }

  unitWords() {
    const state = this.config.spec.hasCellState ? "cell state, squashed by tanh," : "hidden state";
    const words = [
      `The ${state} of ${this.unitName()} after each ${this.alphabet.symbol}: blue above zero, red below.`,
    ];
    if (this.tracked) words.push(this.tracked.words);
    return [...words, ...changeWords(this.text, this.alphabet)].join(" ");
  }

  drawNext() {
    const { temperature, alphabet, logP } = this;
    if (!logP) return;
    const drawn = temperature === 1 ? logP : tempered(logP, temperature);
    const symbols = this.text.documentBefore(this.place);
    drawNext(logP, drawn, alphabet, temperature);
    element("next-words").textContent = nextWords(drawn, alphabet, symbols);
    globalThis.charlstm.secondsToFirst ??= performance.now() / 1000;
    clearTimeout(this.liveTimer);
    this.liveTimer = setTimeout(() => {
      element("live").textContent = nextWords(drawn, alphabet, symbols, true);
    }, LIVE_DELAY);
  }

  drawContexts() {
    const { contexts, place } = this;
    if (!contexts) return;
    const { symbols } = this.text;
    drawContexts(contexts, symbols.slice(0, place), this.alphabet, symbols[place]);
    drawCurve(contexts, this.alphabet);
  }

  drawCell() {
    const { place, isFirst } = this;
    if (!this.text.states[place]) return;
    const { unitStep: step } = this;
    const { cell, hiddenSize } = this.config;
    const last = isFirst ? undefined : this.text.symbols[place - 1];
    const label = last && quoted(this.alphabet.label(last.code));
    const name = this.unitName();
    const beginning = place ? "before the next document" : "before the text";
    const where =
      `${name[0].toUpperCase()}${name.slice(1)}, ` +
      (last ? `${this.alphabet.symbol} ${place}: reading ${label}` : beginning);
    const words = cellWords(step, { cell, where });
    element("cell-words").textContent = words;
    drawCell(element("drawing"), step, {
      cell,
      source: this.layer ? `layer ${this.layer}` : `reads ${label || "the beginning"}`,
      size: hiddenSize,
      words,
    });
    drawSums(step, { below: this.layer, symbol: this.alphabet.symbol });
    element("equations").replaceChildren(...cellEquations(step, cell).map((text) => make("p", {}, text)));
    if (this.isStepping) element("live").textContent = words;
    this.isStepping = false;
  }

  // Setting up

  build() {
    const { config } = this;
    buildNext(config.codes.length + 1, (number) => this.write(number));
    drawMeanings(config.spec);
    drawLegend(this.shading === "surprisal", this.steps);
    element(`shade-${this.shading}`).checked = true;
    for (const [number, { feature, layer, unit }] of config.tracked.entries()) {
      const text = `${feature} (${this.unitName(layer, unit)})`;
      element("tracked").append(make("option", { value: number }, text));
    }
    element("tracked").append(make("option", { value: "other" }));
    element("documents").hidden = !this.alphabet.canBeTyped(config.end ?? 0);
    for (let layer = 0; layer < config.numLayers; layer += 1) {
      element("layer").append(make("option", { value: layer }, String(layer + 1)));
    }
    element("unit").max = String(config.hiddenSize - 1);
    this.nameUnit();
  }

  listen() {
    const { field } = this;
    on("text", "input", () => {
      this.trial.forget();
      this.changed();
    });
    on("text", "paste", ({ clipboardData }) => {
      const pasted = withFieldEnds(clipboardData.getData("text")).length;
      const room = field.maxLength - field.value.length + field.selectionEnd - field.selectionStart;
      this.numCut = Math.max(0, pasted - room);
    });
    document.addEventListener("selectionchange", () => {
      if (document.activeElement === field) this.caretMoved();
    });
    on("text", "pointermove", (event) => {
      if (event.pointerType !== "mouse" || event.buttons) return;
      const place = this.strip.placeAt(event);
      field.title = place && this.text.bits[place - 1] !== undefined ? this.titleOf(place) : "";
      this.hover(place);
    });
    on("text", "pointerleave", () => this.hover(undefined));
    on("shade-unit", "change", () => this.shadeBy("unit"));
    on("shade-surprisal", "change", () => this.shadeBy("surprisal"));
    on("tracked", "change", ({ target: { value } }) => {
      const found = this.config.tracked[value];
      this.shadeBy("unit");
      if (found) this.follow(found.layer, found.unit);
    });
    on("layer", "change", ({ target }) => this.follow(Number(target.value), this.unit));
    on("unit", "change", ({ target }) => this.follow(this.layer, Number(target.value)));
    on("back", "click", () => this.step(-1));
    on("forward", "click", () => this.step(1));
    on("temperature", "input", () => {
      element("temperature-words").textContent = this.temperature.toFixed(2);
      this.show(this.drawNext);
    });
  }
}

/** Normalize line ends as a text field does. */
const withFieldEnds = (text) => text.replace(/\r\n?/g, "\n");

function startPage() {
  const weights = element("weights");
  const page = new Page(JSON.parse(element("model").textContent), weights.textContent);
  weights.remove();
  element("dead").hidden = true;
  // For the console and the tests: what is drawn, in full precision.
  globalThis.charlstm = {
    /** Return the log-probabilities of the next symbol; undefined until the text before it is read. */
    next: () => page.logP && Array.from(page.logP),
    step: () => page.unitStep,
    isRead: () => page.text.isRead && page.stale.size === 0,
  };
}

startPage();
