// The page's views: each function draws one part from its arguments.

const SURPRISAL_STEPS = [0.5, 1.5, 3, 5, 8]; // bits, for an alphabet of up to 64 symbols
const UNIT_STEPS = [0.1, 0.3, 0.5, 0.75]; // of a value from -1 to 1
const SHOWN_PREDICTIONS = 8;
const LEAST_SHOWN = 0.001; // probability
const SHOWN_CONTEXT = 8;

/** @type {(id: string) => any} */
const element = (id) => document.getElementById(id);

/** @type {(id: string, event: string, act: (event: any) => void) => void} */
const on = (id, event, act) => element(id).addEventListener(event, act);

const share = (probability) => {
  const percent = 100 * probability;
  return `${percent.toFixed(percent >= 10 ? 0 : percent >= 1 ? 1 : 2)}\u00a0%`;
};

/**
 * Fill a new element; a child that is a string becomes text, never markup.
 * @type {(made: any, attributes: Record<string, any>, children: any[]) => any}
 */
function completed(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** @type {(tag: string, attributes?: Record<string, any>, ...children: any[]) => any} */
const make = (tag, attributes = {}, ...children) => completed(document.createElement(tag), attributes, children);

/** @type {(tag: string, attributes: Record<string, any>, ...children: any[]) => any} */
const makeSvg = (tag, attributes, ...children) =>
  completed(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

/** Return the limits between the shades of surprisal: further apart for larger vocabularies. */
function surprisalSteps(numSymbols) {
  const scale = Math.max(1, Math.log2(numSymbols) / 6);
  return SURPRISAL_STEPS.map((limit) => Math.round(10 * limit * scale) / 10);
}

/** Return the name of a shade in the style sheet. */
function surprisalShade(bits, steps) {
  return `s${steps.filter((limit) => bits >= limit).length}`;
}

function unitShade(value) {
  const size = UNIT_STEPS.filter((limit) => Math.abs(value) >= limit).length;
  return `${value < 0 ? "n" : "p"}${size}`;
}

function drawLegend(isSurprisal, steps) {
  const names = isSurprisal
    ? [0, ...steps].map((limit, number) => {
        if (!number) return ["s0", `under ${steps[0]} bits`];
        const next = steps[number];
        return [`s${number}`, next ? `${limit} to ${next}` : `${limit} bits and more`];
      })
    : [
        ...UNIT_STEPS.map((limit, number) => [`n${number + 1}`, `\u2212${limit}`]).reverse(),
        ["p0", "0"],
        ...UNIT_STEPS.map((limit, number) => [`p${number + 1}`, `+${limit}`]),
      ];
  element("legend").replaceChildren(
    ...names.map(([shade, name]) => make("li", {}, make("i", { "data-shade": shade }), name)),
  );
}

/** The field's text, drawn beneath it in shaded spans; an edit only redraws what it changed. */
class Strip {
  constructor(alphabet) {
    this.alphabet = alphabet;
    this.root = element("strip");
    this.editor = element("editor"); // what scrolls
    this.spans = [];
    this.chosen = undefined;
  }

  /** Replace the text, except for `same` symbols at its start and `tail` at its end. */
  replace(symbols, { same, tail }) {
    const numOld = this.spans.length - same - tail;
    const fresh = this.spansOf(symbols.slice(same, symbols.length - tail));
    const next = this.spans[this.spans.length - tail] ?? null;
    for (const span of this.spans.splice(same, numOld, ...fresh)) span.remove();
    const added = document.createDocumentFragment();
    added.append(...fresh);
    this.root.insertBefore(added, next);
    // Everything after the edit is read again.
    for (const span of this.spans.slice(same)) span.classList.add("waiting");
  }

  /** Make a span with the character as in the field, so that both break lines alike. */
  spanOf({ char, number }) {
    const label = this.alphabet.label(char.codePointAt(0));
    const span = make("span", { class: "waiting" }, char);
    if (!number) span.classList.add("unknown");
    if (char !== " " && !label.includes(char) && !this.alphabet.isByte(char)) span.dataset.mark = label;
    return span;
  }

  /** Return a span for each symbol; bytes of one character share theirs. */
  spansOf(symbols) {
    const spans = [];
    symbols.forEach((symbol, place) =>
      spans.push(symbol.end === symbols[place - 1]?.end ? spans.at(-1) : this.spanOf(symbol)),
    );
    return spans;
  }

  /** Shade the symbols that have been read, from `first` on. */
  shade(text, first, shadeOf) {
    for (let place = first; place < text.bits.length; place += 1) {
      const span = this.spans[place];
      const { dataset } = span;
      const shade = shadeOf(place);
      if (dataset.shade !== shade) dataset.shade = shade;
      const change = text.noticedChange(place);
      const direction = change > 0 ? "more" : change < 0 ? "less" : undefined;
      if (dataset.change !== direction) {
        if (direction) dataset.change = direction;
        else delete dataset.change;
      }
      span.classList.remove("waiting");
    }
  }

  /** Mark the symbol before the position shown. */
  choose(place) {
    const span = this.spans[place - 1];
    if (span === this.chosen) return;
    this.chosen?.classList.remove("chosen");
    span?.classList.add("chosen");
    this.chosen = span;
  }

  follow() {
    const { editor, chosen } = this;
    const top = chosen?.offsetTop ?? 0;
    const bottom = top + (chosen?.offsetHeight ?? 0);
    if (top < editor.scrollTop) editor.scrollTop = top - 8;
    else if (bottom > editor.scrollTop + editor.clientHeight) {
      editor.scrollTop = bottom - editor.clientHeight + 8;
    }
  }

  /** Return the position after the symbol under the mouse, or undefined. */
  placeAt({ clientX, clientY }) {
    const span = document.elementsFromPoint(clientX, clientY).find((one) => one.parentNode === this.root);
    return span && this.spans.lastIndexOf(span) + 1;
  }
}

function surprisalWords(text, alphabet) {
  if (!text.bits.length) return "";
  const place = text.mostSurprising();
  const { symbol } = alphabet;
  const words = [
    `${text.meanBits().toFixed(2)} bits per ${symbol} on average; the most surprising is ` +
      `${quoted(alphabet.label(text.symbols[place].code))}, ${symbol} ${place + 1}, with ` +
      `${text.bits[place].toFixed(1)} bits.`,
  ];
  return [...words, ...changeWords(text, alphabet)].join(" ");
}

/** Describe how far the last edit changed predictions. */
function changeWords(text, { symbol }) {
  const changes = text.symbols.map((_, place) => text.noticedChange(place));
  const noticed = changes.filter(Boolean).length;
  if (!noticed) return [];
  const first = text.earlierBits.findIndex((bits) => bits !== undefined);
  const last = changes.findLastIndex(Boolean);
  const sum = text.symbols.reduce((total, _, place) => total + (text.change(place) ?? 0), 0);
  return [
    `The last edit changed the surprisal of ${counted(noticed, symbol)} after it, the last one ` +
      `${counted(last - first + 1, symbol)} on: ${Math.abs(sum).toFixed(1)} bits ` +
      `${sum > 0 ? "more" : "less"} in all. \u25b2 marks what became more, \u25bc less surprising.`,
  ];
}

/** Build one button for each prediction; they are kept, so that the focus stays. */
function buildNext(numPredictions, write) {
  for (let place = 0; place < Math.min(numPredictions, SHOWN_PREDICTIONS); place += 1) {
    const item = element("next-item").content.firstElementChild.cloneNode(true);
    const button = item.firstElementChild;
    button.addEventListener("click", () => write(Number(button.dataset.number)));
    element("next-list").append(item);
  }
}

/** Draw the most likely symbols of `drawn`, which is `logP` at a temperature; marks show `logP`. */
function drawNext(logP, drawn, alphabet, temperature) {
  const buttons = [...element("next-list").querySelectorAll("button")];
  const best = ranked(drawn, buttons.length);
  const longest = Math.max(...best.map((number) => Math.max(logP[number], drawn[number])));
  const length = (value) => `${(100 * Math.exp(value - longest)).toFixed(2)}%`;
  best.forEach((number, place) => {
    const button = buttons[place];
    const [symbol, spoken, track, words] = button.children;
    button.dataset.number = number;
    button.disabled = !alphabet.canBeTyped(number);
    // Hidden buttons keep their space, so that nothing below moves.
    button.style.visibility = Math.exp(drawn[number]) < LEAST_SHOWN ? "hidden" : "";
    symbol.textContent = alphabet.nameOf(number);
    spoken.textContent = alphabet.spokenNameOf(number);
    track.children[0].style.width = length(drawn[number]);
    track.children[1].style.left = length(logP[number]);
    track.children[1].hidden = temperature === 1;
    words.textContent = share(Math.exp(drawn[number]));
  });
  element("next-scale").textContent =
    "Bars are drawn in proportion to the longest." +
    (temperature === 1 ? "" : " Marks: the model's own probabilities, temperature 1.");
}

/** Describe the most likely next symbols; `spoken` is for screen readers. */
function nextWords(logP, alphabet, symbols, spoken = false) {
  const last = symbols.slice(-12).map((symbol) => alphabet.label(symbol.code)).join("");
  const after = last ? `After ${quoted(last)}` : "At the beginning";
  return `${after}: ${likelyWords(logP, alphabet, spoken)}; entropy ${entropyBits(logP).toFixed(2)} bits.`;
}

function likelyWords(logP, alphabet, spoken = false) {
  return ranked(logP, 3)
    .filter((number, place) => !place || Math.exp(logP[number]) >= LEAST_SHOWN)
    .map((number) => {
      const name = spoken ? alphabet.spokenNameOf(number) : alphabet.nameOf(number);
      return `${isolated(name)}\u00a0${share(Math.exp(logP[number]))}`;
    })
    .join(", ");
}

/** Draw a row for each context length; `next` is the symbol that follows in the text, if any. */
function drawContexts(contexts, symbols, alphabet, next) {
  element("contexts-next").textContent = next ? quoted(alphabet.label(next.code)) : "";
  element("contexts-next").hidden = !next;
  element("contexts").replaceChildren(
    ...contexts.map(({ length, logP }) => {
      const shown = symbols.slice(symbols.length - length).slice(-SHOWN_CONTEXT);
      const context = shown.map((symbol) => alphabet.label(symbol.code)).join("");
      return make("tr", {},
        make("th", { scope: "row" }, String(length)),
        make("td", { class: "context" }, make("bdi", {}, length > shown.length ? `\u2026${context}` : context)),
        make("td", {}, `${entropyBits(logP).toFixed(2)} bits`),
        make("td", { class: "likely" }, likelyWords(logP, alphabet)),
        ...(next ? [make("td", {}, share(Math.exp(logP[next.number])))] : []),
      );
    }),
  );
}

/** Draw entropy by context length, the lengths equally spaced. */
function drawCurve(contexts, { symbol }) {
  const points = contexts.map(({ length, logP }) => [length, entropyBits(logP)]);
  const [left, right, top, bottom] = [34, 310, 12, 150];
  const highest = Math.max(1, ...points.map(([, bits]) => bits));
  const x = (number) => left + 10 + (number * (right - left - 20)) / Math.max(1, points.length - 1);
  const y = (bits) => bottom - (bits / highest) * (bottom - top);
  const words = points.map(([length, bits]) => `${length}: ${bits.toFixed(2)}`).join(", ");
  const svg = makeSvg("svg", {
    viewBox: "0 0 320 190",
    role: "img",
    "aria-label": `Entropy in bits by ${symbol}s of context: ${words}`,
  });
  const line = points.map(([, bits], number) => `${x(number)},${y(bits)}`).join(" ");
  svg.append(
    makeSvg("polyline", { points: `${left},${top} ${left},${bottom} ${right},${bottom}`, class: "wire" }),
    ...[0, highest].map((bits) =>
      makeSvg("text", { x: left - 6, y: y(bits) + 4, "text-anchor": "end", class: "label" },
        bits ? bits.toFixed(1) : "0"),
    ),
    makeSvg("polyline", { points: line, class: "curve" }),
    ...points.flatMap(([length, bits], number) => [
      makeSvg("circle", { cx: x(number), cy: y(bits), r: 4, class: "point" }),
      makeSvg("text", { x: x(number), y: bottom + 16, class: "mark small" }, String(length)),
    ]),
    makeSvg("text", { x: (left + right) / 2, y: bottom + 34, class: "mark small" },
      `${symbol}s of context; bits of entropy`),
  );
  element("curve").replaceChildren(svg);
}

/** Draw the sums behind each gate. */
function drawSums(step, { below, symbol }) {
  element("sums-input").textContent = below ? `layer ${below}` : symbol;
  element("sums-what").textContent = step.gates.length > 1 ? "gate" : "state";
  element("sums").tBodies[0].replaceChildren(
    ...step.gates.map(({ name, input, hidden, bias, preActivation, value }) =>
      make("tr", {},
        make("th", { scope: "row" }, titleOfValue(name)),
        ...[input, hidden, bias, preActivation, value].map((number) => make("td", {}, signed(number))),
      ),
    ),
  );
}

/** Return the names of values: the states, then the gates in the order they are drawn. */
const inDrawnOrder = ({ drawn, names }) =>
  [...new Set(["cell", "hidden", ...drawn])].filter((name) => names.includes(name));

/** Add the meanings of this cell's values to those of all cells. */
function drawMeanings(spec) {
  const own = inDrawnOrder(spec).flatMap((name) => [make("dt", {}, name), make("dd", {}, spec.meanings[name])]);
  element("meanings").after(...own);
}
