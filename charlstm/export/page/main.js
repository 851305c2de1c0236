// The controller: sends the user's input to the worker and draws its answers, once a frame.

const LIVE_DELAY = 400; // milliseconds without a key before screen readers announce the prediction

class Page {
  /** @param {PageConfig} config */
  constructor(config) {
    this.config = config;
    this.alphabet = new Alphabet(config);
    this.text = new ReadText();
    this.strip = new Strip(this.alphabet);
    this.steps = surprisalSteps(config.codes.length);
    this.field = element("text");
    this.chosen = 0; // number of symbols before the caret
    this.hovered = undefined; // number of symbols up to the one under the mouse
    const [first] = config.tracked;
    this.layer = first?.layer ?? config.numLayers - 1;
    this.unitNumber = first?.unit ?? config.units[this.layer][0];
    this.shading = "surprisal";
    this.isUnitKnown = false; // whether `text.values` are the selected unit's
    this.shadedFrom = 0; // the symbols before it are already shaded
    this.stale = new Set(); // functions that redraw parts of the page
    this.startWorker();
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

  // The worker

  startWorker() {
    const code = new Blob([element("worker").textContent], { type: "text/javascript" });
    const worker = new Worker(URL.createObjectURL(code));
    this.worker = worker;
    worker.onmessage = ({ data: { kind, ...values } }) => this.answers[kind](values);
    worker.onerror = (event) => {
      event.preventDefault();
      element("dead").textContent = `The model can't run in this browser: ${event.message ||
        "the server that the page came from forbids it; save the file and open it from disk"}.`;
      element("dead").hidden = false;
    };
    this.tell("start", { config: this.config, weights: element("weights").textContent });
    element("weights").remove();
  }

  tell(kind, values = {}) {
    this.worker?.postMessage({ kind, ...values });
  }

  /** Handlers of the worker's messages; answers for an earlier text or position are dropped. */
  answers = {
    read: ({ version, layer, unit, ...read }) => {
      const isUnit = layer === this.layer && unit === this.unitNumber;
      if (version !== this.text.version || !isUnit) return;
      this.text.know(/** @type {any} */ (read));
      this.isUnitKnown = true;
      this.shadedFrom = Math.min(this.shadedFrom, read.first);
      this.show(this.drawStrip, this.maps.draw);
    },
    next: (answer) => {
      if (!this.isCurrent(answer)) return;
      this.next = answer;
      this.show(this.drawNext);
    },
    unit: (answer) => {
      const isUnit = answer.layer === this.layer && answer.unit === this.unitNumber;
      if (!this.isCurrent(answer) || !isUnit) return;
      this.unit = answer;
      this.show(this.drawCell);
    },
    contexts: (answer) => {
      if (!this.isCurrent(answer)) return;
      this.contexts = answer;
      this.show(this.drawContexts);
    },
    maps: (answer) => {
      if (answer.version !== this.text.version) return;
      this.maps.answer = answer;
      this.show(this.maps.draw);
    },
    written: (answer) => {
      if (answer.id !== this.writing.id) return;
      this.writing.answer = answer;
      this.show(this.writing.draw);
    },
  };

  isCurrent({ version, place }) {
    return version === this.text.version && place === this.place;
  }

  /** Tell the worker which position to show, and the text if it is new. */
  ask(text) {
    const { layer, unitNumber: unit, place } = this;
    const { version } = this.text;
    this.tell("show", { version, text, place, layer, unit, stretch: this.maps.stretch() });
  }

  /** Show another position of the same text. */
  look() {
    this.ask();
    this.strip.choose(this.place);
  }

  // Input

  /** Handle an edit of the field. */
  changed() {
    const { field, alphabet, text } = this;
    this.hovered = undefined;
    const normalized = alphabet.normalized(field.value);
    if (normalized !== field.value) {
      const caret = alphabet.normalized(field.value.slice(0, field.selectionEnd)).length;
      field.value = normalized;
      field.setSelectionRange(caret, caret);
    }
    const kept = text.replace(alphabet.symbolsOf(field.value));
    this.chosen = this.placeOfCaret();
    // Ask before drawing, so that the worker reads meanwhile.
    this.ask({
      same: kept.same,
      known: text.bits.length,
      symbols: Int32Array.from(text.symbols, (symbol) => symbol.number),
    });
    this.strip.replace(text.symbols, kept, field.value);
    this.shadedFrom = Math.min(this.shadedFrom, kept.same);
    this.strip.choose(this.place);
    this.strip.follow();
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
    this.unitNumber = Math.max(0, Math.min(this.config.hiddenSize - 1, Math.round(number) || 0));
    this.isUnitKnown = false;
    this.isStepping = true;
    this.nameUnit();
    this.look();
  }

  nameUnit() {
    const { layer, unitNumber } = this;
    element("layer").value = String(layer);
    element("unit").value = String(unitNumber);
    const known = this.config.tracked.findIndex((one) => one.layer === layer && one.unit === unitNumber);
    const other = element("tracked").lastElementChild;
    other.hidden = known >= 0;
    other.textContent = this.unitName();
    element("tracked").value = known < 0 ? "other" : String(known);
  }

  unitName(layer = this.layer, number = this.unitNumber) {
    return this.config.numLayers > 1 ? `layer ${layer + 1}, unit ${number}` : `unit ${number}`;
  }

  // Drawing

  show(...parts) {
    if (!this.stale.size) {
      requestAnimationFrame(() => {
        const drawn = [...this.stale];
        this.stale.clear();
        for (const draw of drawn) draw.call(this);
        this.tour.draw();
      });
    }
    for (const part of parts) this.stale.add(part);
  }

  drawStrip() {
    const { text, steps } = this;
    const isSurprisal = this.shading === "surprisal";
    if (isSurprisal) this.strip.shade(text, this.shadedFrom, (place) => surprisalShade(text.charBits(place), steps));
    else if (this.isUnitKnown) this.strip.shade(text, this.shadedFrom, (place) => unitShade(text.values[place]));
    this.shadedFrom = text.bits.length;
    element("strip-words").textContent = isSurprisal ? surprisalWords(text, this.alphabet) : this.unitWords();
  }

  titleOf(place) {
    const value = this.text.values[place - 1];
    return `${this.text.charBits(place - 1).toFixed(2)} bits; ${this.unitName()}: ${signed(value)}`;
  }

  unitWords() {
    const { layer, unitNumber, config } = this;
    const state = config.spec.hasCellState ? "cell state, squashed by tanh," : "hidden state";
    const tracks = config.tracked.find((one) => one.layer === layer && one.unit === unitNumber);
    const words = [
      `The ${state} of ${this.unitName()} after each ${this.alphabet.symbol}: blue above zero, red below.`,
    ];
    if (tracks) words.push(tracks.words);
    return [...words, ...changeWords(this.text, this.alphabet)].join(" ");
  }

  drawNext() {
    const { temperature, alphabet } = this;
    const { place, logP } = this.next;
    const drawn = temperature === 1 ? logP : tempered(logP, temperature);
    const symbols = this.text.documentBefore(place, this.config.end);
    drawNext(logP, drawn, alphabet, temperature);
    element("next-words").textContent = nextWords(drawn, alphabet, symbols);
    globalThis.charlstm.secondsToFirst ??= performance.now() / 1000;
    clearTimeout(this.liveTimer);
    this.liveTimer = setTimeout(() => {
      element("live").textContent = nextWords(drawn, alphabet, symbols, true);
    }, LIVE_DELAY);
  }

  drawContexts() {
    const { place, contexts } = this.contexts;
    const { symbols } = this.text;
    drawContexts(contexts, symbols.slice(0, place), this.alphabet, symbols[place]);
    drawCurve(contexts, this.alphabet);
  }

  drawCell() {
    const { place, step, isFirst } = this.unit;
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
    on("layer", "change", ({ target }) => this.follow(Number(target.value), this.unitNumber));
    on("unit", "change", ({ target }) => this.follow(this.layer, Number(target.value)));
    on("back", "click", () => this.step(-1));
    on("forward", "click", () => this.step(1));
    on("temperature", "input", () => {
      element("temperature-words").textContent = this.temperature.toFixed(2);
      if (this.next) this.show(this.drawNext);
    });
  }
}

/** Normalize line ends as a text field does. */
const withFieldEnds = (text) => text.replace(/\r\n?/g, "\n");

function startPage() {
  const page = new Page(JSON.parse(element("model").textContent));
  element("dead").hidden = true;
  // For the console and the tests: what is drawn, in full precision.
  globalThis.charlstm = {
    /** Return the log-probabilities of the next symbol; undefined while they are computed. */
    next: () => (page.next && page.isCurrent(page.next) ? Array.from(page.next.logP) : undefined),
    step: () => page.unit?.step,
    isRead: () => page.text.isRead && page.stale.size === 0 && !document.querySelector("#strip .waiting"),
  };
}

startPage();
