// What the page shows: each function draws one part from what it is given and keeps nothing.

const SURPRISE_STEPS = [0.5, 1.5, 3, 5, 8]; // bits, for an alphabet of up to 64 symbols
const UNIT_STEPS = [0.1, 0.3, 0.5, 0.75]; // of a value from -1 to 1
const SHOWN_CANDIDATES = 10;
const SHOWN_CONTEXT = 8;

const element = (id) => document.getElementById(id);

const share = (probability) => {
  const percent = 100 * probability;
  return `${percent.toFixed(percent >= 10 ? 0 : percent >= 1 ? 1 : 2)}\u00a0%`;
};

/** A new element with text; text never becomes markup. */
function make(tag, { text, className, ...attributes } = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Limits between the shades of surprise: further apart where there are more symbols. */
function surpriseSteps(numSymbols) {
  const scale = Math.max(1, Math.log2(numSymbols) / 6);
  return SURPRISE_STEPS.map((limit) => Math.round(10 * limit * scale) / 10);
}

/** The name of a shade, for the style sheet. */
function surpriseShade(bits, steps) {
  return `s${steps.filter((limit) => bits >= limit).length}`;
}

function unitShade(value) {
  const size = UNIT_STEPS.filter((limit) => Math.abs(value) >= limit).length;
  return `${value < 0 ? "n" : "p"}${size}`;
}

function drawLegend(isSurprise, steps) {
  const names = isSurprise
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
    ...names.map(([shade, name]) => {
      const item = make("li", { text: name });
      item.prepend(make("i", { "data-shade": shade }));
      return item;
    }),
  );
}

/** The text with its symbols as spans; an edit touches only what it changed. */
class Strip {
  constructor(alphabet) {
    this.alphabet = alphabet;
    this.root = element("strip");
    this.spans = [];
    this.chosen = undefined;
  }

  /** Another text, of which `same` symbols at the beginning and `tail` at the end stay. */
  replace(symbols, { same, tail }) {
    const numOld = this.spans.length - same - tail;
    const fresh = symbols.slice(same, symbols.length - tail).map((symbol) => this.spanOf(symbol));
    const next = this.spans[this.spans.length - tail] ?? null;
    for (const span of this.spans.splice(same, numOld, ...fresh)) span.remove();
    const added = document.createDocumentFragment();
    added.append(...fresh);
    this.root.insertBefore(added, next);
    // What follows is read again.
    for (const span of this.spans.slice(same)) span.classList.add("waiting");
  }

  spanOf({ code, number }) {
    const label = this.alphabet.label(code);
    const span = make("span", { className: number ? "waiting" : "waiting unknown" });
    // A line end ends the line here, too; a space is as wide as any other character.
    span.textContent = code === 10 ? `${label}\n` : code === 32 ? " " : label;
    return span;
  }

  /** Color the symbols from `first` on, as far as they are read. */
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

  /** Mark the symbol that was read last at the page's place, and keep it in sight. */
  choose(place) {
    const span = this.spans[place - 1];
    if (span === this.chosen) return;
    this.chosen?.classList.remove("chosen");
    span?.classList.add("chosen");
    this.chosen = span;
  }

  follow() {
    const { root, chosen } = this;
    if (root.scrollHeight <= root.clientHeight) return;
    const top = chosen?.offsetTop ?? 0;
    const bottom = top + (chosen?.offsetHeight ?? 0);
    if (top < root.scrollTop) root.scrollTop = top - 8;
    else if (bottom > root.scrollTop + root.clientHeight) {
      root.scrollTop = bottom - root.clientHeight + 8;
    }
  }

  /** How many symbols are read up to the one under the mouse. */
  placeOf(target) {
    const number = this.spans.indexOf(target);
    return number < 0 ? undefined : number + 1;
  }
}

function surpriseWords(text, alphabet) {
  if (!text.bits.length) return "";
  const place = text.mostExpensive();
  const { symbol } = alphabet;
  const words = [
    `${text.meanBits().toFixed(2)} bits per ${symbol} on average; the greatest surprise is ` +
      `${quoted(alphabet.label(text.symbols[place].code))}, ${symbol} ${place + 1}, with ` +
      `${text.bits[place].toFixed(1)} bits.`,
  ];
  return [...words, ...changeWords(text, alphabet)].join(" ");
}

/** How far the last edit is remembered. */
function changeWords(text, { symbol }) {
  const changes = text.symbols.map((_, place) => text.noticedChange(place));
  const noticed = changes.filter(Boolean).length;
  if (!noticed) return [];
  const first = text.earlierBits.findIndex((bits) => bits !== undefined);
  const last = changes.findLastIndex(Boolean);
  const sum = text.symbols.reduce((total, _, place) => total + (text.change(place) ?? 0), 0);
  return [
    `The last edit changed the surprise of ${counted(noticed, symbol)} after it, the last one ` +
      `${counted(last - first + 1, symbol)} on: ${Math.abs(sum).toFixed(1)} bits ` +
      `${sum > 0 ? "more" : "less"} in all. \u25b2 marks what became more, \u25bc less surprising.`,
  ];
}

/** One button a candidate, kept from call to call so that the focus stays. */
function buildNext(numCandidates, write) {
  for (let place = 0; place < Math.min(numCandidates, SHOWN_CANDIDATES); place += 1) {
    const button = make("button", { type: "button", title: "Write it" });
    const track = make("span", { className: "track" });
    track.append(make("i", { className: "bar" }), make("i", { className: "tick" }));
    button.append(
      make("bdi", { className: "symbol", "aria-hidden": "true" }),
      make("span", { className: "unseen" }),
      track,
      make("span", { className: "share" }),
    );
    button.addEventListener("click", () => write(Number(button.dataset.number)));
    const item = make("li");
    item.append(button);
    element("next-list").append(item);
  }
}

/** The most likely next symbols; bars are as long as the probability beside that of the first. */
function drawNext(logP, alphabet, temperature) {
  const buttons = [...element("next-list").querySelectorAll("button")];
  const best = ranked(logP, buttons.length);
  const drawn = temperature === 1 ? logP : tempered(logP, temperature);
  const longest = Math.max(...best.map((number) => Math.max(logP[number], drawn[number])));
  const length = (value) => `${(100 * Math.exp(value - longest)).toFixed(2)}%`;
  best.forEach((number, place) => {
    const button = buttons[place];
    const [symbol, spoken, track, words] = button.children;
    button.dataset.number = number;
    button.disabled = !alphabet.canBeTyped(number);
    symbol.textContent = alphabet.nameOf(number);
    spoken.textContent = alphabet.spokenNameOf(number);
    track.children[0].style.width = length(logP[number]);
    track.children[1].style.left = length(drawn[number]);
    track.children[1].hidden = temperature === 1;
    words.textContent = share(Math.exp(logP[number]));
  });
  element("next-scale").textContent =
    "Bars are drawn in proportion to the longest." +
    (temperature === 1 ? "" : ` Marks: at temperature ${temperature.toFixed(2)}.`);
}

function nextWords(logP, alphabet, symbols, nameOf) {
  const last = symbols.slice(-12).map((symbol) => alphabet.label(symbol.code)).join("");
  const likely = likelyWords(logP, 3, nameOf);
  const after = last ? `After ${quoted(last)}` : "At the beginning of a text";
  return `${after}: ${likely}; entropy ${entropyBits(logP).toFixed(2)} bits.`;
}

function likelyWords(logP, count, nameOf) {
  return ranked(logP, count)
    .map((number) => `${isolated(nameOf(number))} ${share(Math.exp(logP[number]))}`)
    .join(", ");
}

/** One row for each context length; `next` is the symbol that really follows, if one does. */
function drawLadder(rungs, symbols, alphabet, next) {
  element("ladder-next").textContent = next ? quoted(alphabet.label(next.code)) : "";
  element("ladder-next").hidden = !next;
  element("rungs").replaceChildren(
    ...rungs.map(({ length, logP }) => {
      const row = make("tr");
      const shown = symbols.slice(symbols.length - length).slice(-SHOWN_CONTEXT);
      const context = shown.map((symbol) => alphabet.label(symbol.code)).join("");
      const likely = likelyWords(logP, 3, (number) => alphabet.nameOf(number));
      const cell = make("td", { className: "context" });
      cell.append(make("bdi", { text: length > shown.length ? `\u2026${context}` : context }));
      row.append(
        make("th", { scope: "row", text: String(length) }),
        cell,
        make("td", { text: likely }),
        make("td", { text: `${entropyBits(logP).toFixed(2)} bits` }),
      );
      if (next) row.append(make("td", { text: share(Math.exp(logP[next.number])) }));
      return row;
    }),
  );
}

/** Entropy over the length of context, the lengths at equal distances. */
function drawCurve(rungs, { symbol }) {
  const points = rungs.map(({ length, logP }) => [length, entropyBits(logP)]);
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
  svg.append(makeSvg("polyline", { points: `${left},${top} ${left},${bottom} ${right},${bottom}`, class: "wire" }));
  for (const bits of [0, highest]) {
    svg.append(
      makeSvg("text", { x: left - 6, y: y(bits) + 4, "text-anchor": "end", class: "label" },
        bits ? bits.toFixed(1) : "0"),
    );
  }
  svg.append(
    makeSvg("polyline", {
      points: points.map(([, bits], number) => `${x(number)},${y(bits)}`).join(" "),
      class: "curve",
    }),
  );
  points.forEach(([length, bits], number) => {
    svg.append(makeSvg("circle", { cx: x(number), cy: y(bits), r: 4, class: "point" }));
    svg.append(makeSvg("text", { x: x(number), y: bottom + 16, class: "mark small" }, String(length)));
  });
  svg.append(
    makeSvg("text", { x: (left + right) / 2, y: bottom + 34, class: "mark small" },
      `${symbol}s of context; bits of entropy`),
  );
  element("curve").replaceChildren(svg);
}

/** The sums of each gate, and the contributions that are largest. */
function drawSums(step, { below, symbol }) {
  const s = signed;
  element("sums-input").textContent = below ? `layer ${below}` : symbol;
  element("sums-what").textContent = step.gates.length > 1 ? "gate" : "state";
  element("sums").tBodies[0].replaceChildren(
    ...step.gates.map((gate) => {
      const row = make("tr");
      const name = gate.name === "hidden" ? "hidden state" : gate.name;
      row.append(make("th", { scope: "row", text: name }));
      for (const value of [gate.input, gate.hidden, gate.bias, gate.preActivation, gate.value]) {
        row.append(make("td", { text: s(value) }));
      }
      return row;
    }),
  );
  element("largest").replaceChildren(
    ...step.gates.flatMap((gate) => {
      const parts = gate.largest
        .filter(({ value }) => value !== 0)
        .map(({ from, unit, value }) => {
          const where = from === "below" ? ` of layer ${below}` : " before";
          return `${s(value)} from unit ${unit}${where}`;
        });
      const text = parts.join(", ") || "none: nothing was read before";
      return [make("dt", { text: gate.name }), make("dd", { text })];
    }),
  );
}

/** Names of values in the order in which a cell is drawn. */
const inDrawnOrder = ({ drawn, names }) =>
  [...new Set([...drawn, "cell", "hidden"])].filter((name) => names.includes(name));

function drawMeanings(spec) {
  const all = {
    unit: "one of the cells of a layer: it keeps one value from step to step",
    ...Object.fromEntries(inDrawnOrder(spec).map((name) => [name, spec.meanings[name]])),
    "h before": "the hidden states of all units of the layer, one step earlier",
    bias: "a number that is added whatever is read; learned, like all weights",
    "\u03c3": "the sigmoid: squashes any sum to between 0 (closed) and 1 (open)",
    tanh: "squashes any sum to between \u22121 and 1",
  };
  element("meanings").replaceChildren(
    ...Object.entries(all).flatMap(([name, meaning]) => [
      make("dt", { text: name }),
      make("dd", { text: meaning }),
    ]),
  );
}
