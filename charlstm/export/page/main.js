// Puts the parts together: what is typed, chosen and pressed, and what is to be worked on next.

const SLICE = 8; // milliseconds of work before the browser gets its turn
const OPENING_SLICE = 100; // nobody waits for anything else yet
const COLUMN_WIDTH = 11; // pixels at least
const ROW_HEIGHT = 7;
const ALL_ROW_HEIGHT = 2;
const SAMPLE_LENGTH = 500;
const LIVE_DELAY = 400; // milliseconds without a key before a screen reader is told

function startPage() {
  const config = JSON.parse(element("model").textContent);
  const weights = unpackWeights(element("weights").textContent, config.shapes);
  const stack = new CellStack(config, weights);
  const alphabet = new Alphabet(config);
  const reading = new Reading(stack);
  const text = element("text");
  let chosen = 0; // how many symbols are read at the position that the page shows
  let hovered; // the same, while the mouse is over a character
  let ladder = new Ladder(stack, []);
  let sampler;
  let unit = config.units[0][0];
  let layer = 0;
  let isWorking = false;
  let isOpening = true;
  let liveTimer;
  const stale = new Set(); // parts to be redrawn

  const place = () => hovered ?? chosen;

  /** Work in slices until nothing is left: the reading first, then the ladder, then the writing. */
  function work() {
    const until = performance.now() + (isOpening ? OPENING_SLICE : SLICE);
    isOpening = false;
    const jobs = [
      [reading, [drawReading, drawInside]],
      [ladder, [drawRungs]],
      [sampler, [drawWritten]],
    ];
    for (const [job, parts] of jobs) {
      if (!job || job.isDone) continue;
      while (!job.isDone && performance.now() < until) job.advance();
      show(...parts);
    }
    isWorking = jobs.some(([job]) => job && !job.isDone);
    if (isWorking) setTimeout(work);
  }

  function wake() {
    if (isWorking) return;
    isWorking = true;
    work();
  }

  function show(...parts) {
    if (!stale.size) {
      requestAnimationFrame(() => {
        const drawn = [...stale];
        stale.clear();
        for (const draw of drawn) draw();
      });
    }
    for (const part of parts) stale.add(part);
  }

  function drawReading() {
    drawStrip(reading, alphabet, place());
    element("strip-words").textContent = stripWords(reading, alphabet);
    const state = reading.states[place()];
    if (state) {
      drawNext(stack.predict(state), alphabet);
      globalThis.charlstm.secondsToFirst ??= performance.now() / 1000;
      clearTimeout(liveTimer);
      liveTimer = setTimeout(tell, LIVE_DELAY);
      if (!element("next-words").textContent) tell();
    }
  }

  function drawRungs() {
    drawLadder(ladder.rungs, ladder.symbols, alphabet, reading.symbols[ladder.symbols.length]);
  }

  /** What a screen reader says, and only when the typing rests. */
  function tell() {
    const state = reading.states[place()];
    if (!state) return;
    const symbols = reading.symbols.slice(0, place());
    element("next-words").textContent = nextWords(stack.predict(state), alphabet, symbols);
    const last = symbols.at(-1);
    element("unit-words").textContent = unitWords(state[layer], config.cell, {
      unit,
      layer,
      numLayers: config.numLayers,
      label: last && alphabet.label(last.code),
    });
  }

  function drawInside() {
    const canvases = [...element("layers").querySelectorAll("canvas")];
    const numColumns = Math.max(8, Math.floor(canvases[0].clientWidth / COLUMN_WIDTH));
    // The stretch ends a little after the chosen character.
    const end = Math.max(numColumns, Math.min(reading.symbols.length, place() + numColumns / 4));
    const first = Math.max(0, Math.floor(end) - numColumns);
    const numbers = Array.from({ length: numColumns }, (_, column) => first + column + 1);
    const chosenColumn = place() - 1 - first;
    const isWhole = element("all-units").checked;
    for (const canvas of canvases) {
      if (!canvas.dataset.name) {
        const labels = numbers.map((number) => {
          const symbol = reading.symbols[number - 1];
          return symbol ? alphabet.label(symbol.code) : "";
        });
        drawCharacters(canvas, { labels, chosenColumn });
        continue;
      }
      const at = Number(canvas.dataset.layer);
      const { name } = canvas.dataset;
      const columns = numbers.map((number) => {
        const state = number <= reading.symbols.length ? reading.states[number] : undefined;
        return state && valuesOf(state[at], config.cell)[name];
      });
      drawMap(canvas, {
        name,
        columns,
        units: unitsOf(at),
        chosenColumn,
        chosenUnit: at === layer ? unit : -1,
        rowHeight: isWhole ? ALL_ROW_HEIGHT : ROW_HEIGHT,
      });
    }
  }

  /** The units that get rows: the most variable ones, and the selected one. */
  function unitsOf(at) {
    if (element("all-units").checked) return [...Array(config.hiddenSize).keys()];
    const variable = config.units[at];
    return at === layer && !variable.includes(unit) ? [unit, ...variable] : variable;
  }

  function drawWritten() {
    if (!sampler) return;
    element("written").textContent = alphabet.textOf(sampler.numbers);
    element("stop").disabled = sampler.isDone;
    element("keep").disabled = !sampler.numbers.length;
    const words = sampler.isDone ? "written" : "written so far";
    element("sample-status").textContent = `${sampler.numbers.length} characters ${words}`;
  }

  /** The text, or its caret, is no longer what was read. */
  function changed() {
    hovered = undefined;
    const normalized = alphabet.normalized(text.value);
    if (normalized !== text.value) {
      const caret = alphabet.normalized(text.value.slice(0, text.selectionEnd)).length;
      text.value = normalized;
      text.setSelectionRange(caret, caret);
    }
    reading.replace(alphabet.symbolsOf(text.value));
    const unknown = reading.symbols.filter((symbol) => symbol.number === 0);
    const labels = [...new Set(unknown.map((symbol) => alphabet.label(symbol.code)))];
    element("notice").hidden = !labels.length;
    element("notice").textContent =
      `The model never saw ${labels.slice(0, 8).join(" ")}: it reads that as unknown.`;
    look();
  }

  function look() {
    const caret = text.selectionDirection === "backward" ? text.selectionStart : text.selectionEnd;
    chosen = reading.symbols.findLastIndex((symbol) => symbol.end <= caret) + 1;
    moved();
  }

  /** The page looks at another character. */
  function moved() {
    const symbols = reading.symbols.slice(0, place());
    const isSame =
      symbols.length === ladder.symbols.length &&
      symbols.every((symbol, number) => symbol.code === ladder.symbols[number].code);
    if (!isSame) ladder = new Ladder(stack, symbols);
    show(drawReading, drawInside, drawRungs);
    wake();
  }

  /** Put a predicted symbol where the page looks. */
  function write(number) {
    const end = chosen ? reading.symbols[chosen - 1].end : 0;
    text.setRangeText(alphabet.textOf([number]), end, end, "end");
    changed();
  }

  function choose(number) {
    const end = number ? reading.symbols[number - 1].end : 0;
    text.setSelectionRange(end, end);
    look();
  }

  function placeUnder(event) {
    const number = [...element("strip").children].indexOf(event.target);
    return number < 0 ? undefined : number + 1;
  }

  function chooseUnit(at, number) {
    layer = at;
    unit = Math.max(0, Math.min(config.hiddenSize - 1, Math.round(number) || 0));
    element("layer").value = String(layer);
    element("unit").value = String(unit);
    tell();
    show(drawInside);
  }

  function buildInside() {
    const names = Object.keys(valuesOf(reading.states[0][0], config.cell));
    drawMeanings(names);
    const gates = names.filter((name) => MEANINGS[name].includes("gate"));
    element("inside-words").textContent = gates.length
      ? "Each row is a unit, each column a character. Gates are blue where they are open; what they " +
        "govern is blue above zero, red below."
      : "Each row is a unit, each column a character: blue above zero, red below. A plain network " +
        "has no gates.";
    for (let at = 0; at < config.numLayers; at += 1) {
      element("layer").append(make("option", { value: at, text: String(at + 1) }));
      const figure = make("div", { className: "layer", role: "group" });
      figure.setAttribute("aria-label", `Layer ${at + 1}`);
      if (config.numLayers > 1) figure.append(make("h3", { text: `Layer ${at + 1}` }));
      for (const name of names) {
        const row = make("div", { className: "map" });
        const canvas = make("canvas", { role: "img", "data-name": name, "data-layer": at });
        canvas.setAttribute("aria-label", `${MEANINGS[name]}; the numbers of a unit stand above`);
        canvas.addEventListener("pointerdown", (event) => {
          const units = unitsOf(at);
          const number = Math.floor((event.offsetY / canvas.clientHeight) * units.length);
          chooseUnit(at, units[Math.max(0, Math.min(units.length - 1, number))]);
        });
        row.append(make("span", { text: name }), canvas);
        figure.append(row);
      }
      const row = make("div", { className: "map" });
      row.append(make("span"), make("canvas", { "aria-hidden": "true" }));
      figure.append(row);
      element("layers").append(figure);
    }
    element("unit").max = String(config.hiddenSize - 1);
    element("unit").value = String(unit);
  }

  drawLegend();
  buildNext(config.codes.length + 1, write);
  buildInside();
  text.value = config.text;
  text.addEventListener("input", changed);
  document.addEventListener("selectionchange", () => {
    if (document.activeElement === text) look();
  });
  element("strip").addEventListener("click", (event) => {
    const number = placeUnder(event);
    if (number !== undefined) choose(number);
  });
  element("strip").addEventListener("pointermove", (event) => {
    const number = event.pointerType === "mouse" ? placeUnder(event) : undefined;
    if (number === hovered) return;
    hovered = number;
    moved();
  });
  element("strip").addEventListener("pointerleave", () => {
    hovered = undefined;
    moved();
  });
  element("layer").addEventListener("change", () => {
    chooseUnit(Number(element("layer").value), unit);
  });
  element("unit").addEventListener("change", () => chooseUnit(layer, Number(element("unit").value)));
  element("all-units").addEventListener("change", () => show(drawInside));
  element("temperature").addEventListener("input", () => {
    element("temperature-words").textContent = Number(element("temperature").value).toFixed(2);
  });
  element("seed").addEventListener("change", () => {
    const { value, min, max } = element("seed");
    element("seed").value = Math.min(max, Math.max(min, Math.round(Number(value))));
  });
  element("start").addEventListener("click", () => {
    while (!reading.isDone) reading.advance();
    show(drawReading, drawInside);
    sampler = new Sampler(stack, reading.states.at(-1), {
      temperature: Number(element("temperature").value),
      seed: Number(element("seed").value),
      length: SAMPLE_LENGTH,
    });
    // At once: until the next frame the last text would stand there as this one's.
    drawWritten();
    wake();
  });
  element("stop").addEventListener("click", () => {
    sampler.length = sampler.numbers.length;
    show(drawWritten);
  });
  element("keep").addEventListener("click", () => {
    text.value = (text.value + alphabet.textOf(sampler.numbers)).slice(0, text.maxLength);
    text.setSelectionRange(text.value.length, text.value.length);
    sampler = undefined;
    element("written").textContent = "";
    element("sample-status").textContent = "";
    element("keep").disabled = element("stop").disabled = true;
    changed();
  });
  addEventListener("resize", () => show(drawInside));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(drawInside));
  // For the console, and for the tests.
  globalThis.charlstm = {
    /** Natural logarithms of the probabilities of the symbol after a text. */
    predict: (prefix) =>
      Array.from(
        stack.predict(
          alphabet
            .symbolsOf(alphabet.normalized(prefix))
            .reduce((state, symbol) => stack.read(symbol.number, state), stack.start()),
        ),
      ),
    nameOf: (number) => alphabet.nameOf(number),
  };
  text.setSelectionRange(text.value.length, text.value.length);
  changed();
}

startPage();
