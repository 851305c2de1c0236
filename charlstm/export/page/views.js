// What the page shows: each function draws one part from what it is given and keeps nothing.

const SURPRISE_STEPS = [0.5, 1.5, 3, 5, 8]; // bits, as in the terminal
const SHOWN_CANDIDATES = 10;
const SHOWN_CONTEXT = 8;
const NOTICED_CHANGE = 0.1; // bits

const element = (id) => document.getElementById(id);
const percent = (logP) => {
  const share = 100 * Math.exp(logP);
  return `${share >= 10 ? share.toFixed(0) : share.toFixed(share >= 0.1 ? 1 : 2)}\u00a0%`;
};

/** A new element with text; text never becomes markup. */
function make(tag, { text, className, ...attributes } = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const levelOf = (bits) => SURPRISE_STEPS.filter((limit) => bits >= limit).length;

function drawLegend() {
  const names = SURPRISE_STEPS.map((limit, number) => {
    const next = SURPRISE_STEPS[number + 1];
    return next ? `${limit} to ${next} bits` : `${limit} bits and more`;
  });
  element("legend").replaceChildren(
    ...names.map((name, number) => {
      const item = make("li", { text: name });
      item.prepend(make("i", { "data-level": number + 1 }));
      return item;
    }),
  );
}

/** Each character, colored by its surprise; one element a symbol, kept from call to call. */
function drawStrip(reading, alphabet, chosen) {
  const strip = element("strip");
  while (strip.childElementCount > reading.symbols.length) strip.lastElementChild.remove();
  reading.symbols.forEach((symbol, place) => {
    const span = strip.children[place] ?? strip.appendChild(make("span"));
    const label = alphabet.label(symbol.code);
    if (span.textContent !== label) span.textContent = label;
    const bits = reading.bits[place];
    const isRead = bits !== undefined;
    const level = isRead ? levelOf(bits) : 0;
    if (level) span.dataset.level = level;
    else delete span.dataset.level;
    const change = reading.change(place) ?? 0;
    if (Math.abs(change) >= NOTICED_CHANGE) span.dataset.change = change > 0 ? "more" : "less";
    else delete span.dataset.change;
    const classes = [
      isRead ? "" : "waiting",
      symbol.number === 0 ? "unknown" : "",
      place === chosen - 1 ? "chosen" : "",
    ];
    const className = classes.filter(Boolean).join(" ");
    if (span.className !== className) span.className = className;
    const title = isRead ? `${bits.toFixed(2)} bits` : "";
    if (span.title !== title) span.title = title;
  });
}

function stripWords(reading, alphabet) {
  const bits = reading.bits.filter((value) => value !== undefined);
  if (!bits.length) return "";
  const mean = bits.reduce((a, b) => a + b, 0) / bits.length;
  const place = bits.indexOf(Math.max(...bits));
  const worst = alphabet.label(reading.symbols[place].code);
  const words = [
    `${mean.toFixed(2)} bits per character on average; the greatest surprise is \u201c${worst}\u201d, ` +
      `character ${place + 1}, with ${bits[place].toFixed(1)} bits.`,
  ];
  const changes = reading.symbols.map((_, number) => reading.change(number) ?? 0);
  const noticed = changes.filter((change) => Math.abs(change) >= NOTICED_CHANGE).length;
  if (noticed) {
    const sum = changes.reduce((a, b) => a + b, 0);
    words.push(
      `The last edit changed ${noticed} of the characters after it: ` +
        `${Math.abs(sum).toFixed(1)} bits ${sum > 0 ? "more" : "less"} in all.`,
    );
  }
  return words.join(" ");
}

/** One button a candidate, kept from call to call so that the focus stays. */
function buildNext(numCandidates, write) {
  for (let place = 0; place < Math.min(numCandidates, SHOWN_CANDIDATES); place += 1) {
    const button = make("button", { type: "button" });
    const bar = make("span");
    bar.append(make("div", { className: "bar" }));
    button.append(
      make("span", { className: "symbol" }),
      bar,
      make("span", { className: "share" }),
    );
    button.addEventListener("click", () => write(Number(button.dataset.number)));
    const item = make("li");
    item.append(button);
    element("next-list").append(item);
  }
}

/** The most likely next characters. */
function drawNext(logP, alphabet) {
  const buttons = element("next-list").querySelectorAll("button");
  ranked(logP)
    .slice(0, buttons.length)
    .forEach((number, place) => {
      const button = buttons[place];
      const name = alphabet.nameOf(number);
      const spoken = alphabet.spokenNameOf(number);
      button.setAttribute("aria-label", `${spoken}, ${percent(logP[number])}: write it`);
      button.dataset.number = number;
      button.disabled = !alphabet.canBeTyped(number);
      button.querySelector(".symbol").textContent = name;
      button.querySelector(".bar").style.width = `${100 * Math.exp(logP[number])}%`;
      button.querySelector(".share").textContent = percent(logP[number]);
    });
}

function nextWords(logP, alphabet, symbols) {
  const best = ranked(logP).slice(0, 3);
  const likely = best.map((number) => `${alphabet.nameOf(number)} ${percent(logP[number])}`);
  const last = symbols.slice(-12).map((symbol) => alphabet.label(symbol.code)).join("");
  const after = last ? `After \u201c${last}\u201d` : "At the beginning of a text";
  return `${after}: ${likely.join(", ")}; ${entropyBits(logP).toFixed(2)} bits of entropy.`;
}

/** One row for each rung; `next` is the symbol that really follows, if one does. */
function drawLadder(rungs, symbols, alphabet, next) {
  const isNamed = next !== undefined;
  element("ladder-next").textContent = isNamed
    ? `\u201c${alphabet.label(next.code)}\u201d`
    : "entropy";
  element("rungs").replaceChildren(
    ...rungs.map(({ length, logP }) => {
      const row = make("tr");
      const shown = symbols.slice(symbols.length - length).slice(-SHOWN_CONTEXT);
      const context = shown.map((symbol) => alphabet.label(symbol.code)).join("");
      const best = ranked(logP).slice(0, 3);
      const likely = best.map((number) => `${alphabet.nameOf(number)} ${percent(logP[number])}`);
      const last = isNamed ? percent(logP[next.number]) : `${entropyBits(logP).toFixed(2)} bits`;
      row.append(
        make("th", { scope: "row", text: String(length) }),
        make("td", { className: "context", text: length > shown.length ? `\u2026${context}` : context }),
        make("td", { text: likely.join(", ").replaceAll("\u00a0", "") }),
        make("td", { text: last }),
      );
      return row;
    }),
  );
}

/** What a layer's step consists of, in the order in which it happens. */
function valuesOf(step, cell) {
  const values = { ...step.gates };
  if (cell !== "rnn") values.candidate = step.candidate;
  if (cell === "lstm") values.cell = step.c;
  values.hidden = step.h;
  return values;
}

const MEANINGS = {
  input: "input gate: share of the candidate that enters the cell state; 0 closed, 1 open",
  forget: "forget gate: share of the cell state that is kept; 0 erases it, 1 keeps all",
  output: "output gate: share of the cell state that shows in the hidden state",
  reset: "reset gate: share of the hidden state that the candidate reads",
  update: "update gate: share of the hidden state that is kept",
  candidate: "candidate: what could be written, from \u22121 to 1",
  cell: "cell state: the memory, carried from character to character",
  hidden: "hidden state h: what the next layer and the next step read, from \u22121 to 1",
};

function drawMeanings(names) {
  const list = make("dl");
  for (const name of names) {
    const [term, meaning] = MEANINGS[name].split(": ");
    list.append(make("dt", { text: term }), make("dd", { text: meaning }));
  }
  element("meanings").replaceChildren(list);
}

/** Blue for open gates; blue for positive and red for negative values. */
function colorOf(name, value, isDark) {
  const isGate = name !== "candidate" && name !== "cell" && name !== "hidden";
  const strength = isGate ? value : Math.abs(name === "cell" ? Math.tanh(value) : value);
  const [r, g, b] = !isGate && value < 0 ? [196, 58, 38] : [26, 95, 190];
  const ground = isDark ? 40 : 248;
  const mix = (channel) => Math.round(ground + (channel - ground) * strength);
  const lighter = isDark ? 45 * strength : 0;
  return `rgb(${mix(r) + lighter}, ${mix(g) + lighter}, ${mix(b) + lighter})`;
}

/**
 * A heat map: a column for each character of the stretch, a row for each unit.
 *
 * `columns` are arrays of a value for every unit, undefined where nothing was read yet.
 */
function drawMap(canvas, { name, columns, units, chosenColumn, chosenUnit, rowHeight }) {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = units.length * rowHeight;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const columnWidth = width / columns.length;
  const gap = rowHeight > 3 ? 1 : 0;
  columns.forEach((values, column) => {
    if (!values) return;
    units.forEach((unit, row) => {
      context.fillStyle = colorOf(name, values[unit], isDark);
      context.fillRect(
        column * columnWidth,
        row * rowHeight,
        columnWidth - gap + (gap ? 0 : 0.5),
        rowHeight - gap,
      );
    });
  });
  const ink = isDark ? "#fff" : "#000";
  context.strokeStyle = ink;
  context.lineWidth = 1;
  if (chosenColumn >= 0) {
    context.strokeRect(chosenColumn * columnWidth + 0.5, 0.5, columnWidth - 1.5, height - 1);
  }
  const row = units.indexOf(chosenUnit);
  const numRead = columns.findLastIndex((values) => values) + 1;
  if (row >= 0 && numRead) {
    const top = Math.max(0.5, row * rowHeight - 0.5);
    context.strokeRect(0.5, top, numRead * columnWidth - 1.5, rowHeight);
  }
}

/** The characters under the heat maps. */
function drawCharacters(canvas, { labels, chosenColumn }) {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = "18px";
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(18 * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const columnWidth = width / labels.length;
  context.font = `${Math.min(14, columnWidth * 1.5)}px ui-monospace, monospace`;
  context.textAlign = "center";
  labels.forEach((label, column) => {
    context.fillStyle = isDark ? "#e8e9ec" : "#1c1d20";
    if (column === chosenColumn) {
      context.fillStyle = isDark ? "#8ab6ff" : "#1457b8";
      context.fillRect(column * columnWidth, 0, columnWidth - 1, 18);
      context.fillStyle = isDark ? "#15171b" : "#fff";
    }
    context.fillText(label, (column + 0.5) * columnWidth, 13, columnWidth);
  });
}

function unitWords(step, cell, { unit, layer, numLayers, label }) {
  const parts = Object.entries(valuesOf(step, cell)).map(
    ([name, values]) => `${name} ${values[unit].toFixed(2)}`,
  );
  const where = label ? `after \u201c${label}\u201d` : "before the first character";
  const which = numLayers > 1 ? `Unit ${unit} of layer ${layer + 1}` : `Unit ${unit}`;
  return `${which}, ${where}: ${parts.join(", ").replaceAll("-", "\u2212")}.`;
}
