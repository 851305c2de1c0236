// Compares the scripts of charlstm/export/page that don't use the DOM with Python's results, in a JSON
// file named by VECTORS, which tests/export/test_webpage_scripts.py writes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import vm from "node:vm";

const FOLDER = new URL("../../../charlstm/export/page/", import.meta.url);
const FILES = ["products", "steps", "model", "unit", "distribution", "reading", "alphabet", "text", "cells",
  "views"];
const NAMES =
  "{ Products, CellStack, unpackWeights, unitStep, ranked, entropyBits, tempered, contextLengths, " +
  "drawnSymbols, draw, randomNumbers, Alphabet, ReadText, CELLS, flowsOf, " +
  "surprisalSteps, surprisalShade, unitShade, share, surprisalWords, nextWords }";
const { models, products } = JSON.parse(readFileSync(process.env.VECTORS, "utf-8"));

/** Run the scripts as in the page, one after another in one scope, and return what they define. */
function scripts(globals = {}) {
  const code = FILES.map((name) => readFileSync(new URL(`${name}.js`, FOLDER), "utf-8")).join("\n");
  const { atob, TextEncoder, TextDecoder } = globalThis;
  const context = { atob, TextEncoder, TextDecoder, ...globals };
  return vm.runInNewContext(`"use strict";\n${code}\n;(${NAMES})`, context);
}

const page = scripts();

function close(found, expected, tolerance, what = "") {
  assert.equal(found.length, expected.length, what);
  for (const [place, value] of expected.entries()) {
    const difference = Math.abs(found[place] - value);
    assert.ok(difference <= tolerance, `${what} [${place}]: ${found[place]}, not ${value}`);
  }
}

const stackOf = ({ config, weights }, { CellStack, unpackWeights } = page) =>
  new CellStack(config, unpackWeights(weights, config.shapes));

function statesOf(stack, ids) {
  const states = [stack.start()];
  for (const id of ids) states.push(stack.read(id, states.at(-1)));
  return states;
}

// Without WebAssembly, plain JavaScript computes the same.
const BACKENDS = { WebAssembly: page, JavaScript: scripts({ WebAssembly: undefined }) };

for (const [backend, { Products }] of Object.entries(BACKENDS)) {
  test(`products in ${backend} are those of the matrices`, () => {
    const shapes = products.map(({ rows }) => [rows.length, rows[0].length]);
    const memory = new Products(shapes);
    const matrices = products.map(({ values, scales }) =>
      memory.matrix(Int8Array.from(values), Float32Array.from(scales)),
    );
    for (const [place, { vector, product, rows }] of products.entries()) {
      close(matrices[place].times(Float32Array.from(vector)), product, 1e-4);
      rows.forEach((row, number) => close(matrices[place].row(number), row, 1e-6));
    }
  });
}

for (const [name, model] of Object.entries(models)) {
  const { config, texts } = model;

  test(`${name}: a text has Python's ids`, () => {
    const alphabet = new page.Alphabet(config);
    for (const { text, ids } of texts) {
      const symbols = alphabet.symbolsOf(alphabet.normalized(text));
      assert.deepEqual([...symbols].map(({ number }) => number), ids, JSON.stringify(text));
    }
  });

  test(`${name}: ids have Python's text`, () => {
    const alphabet = new page.Alphabet(config);
    const numbers = config.codes.map((_, place) => place + 1);
    if (config.level === "char") assert.equal(alphabet.textOf(numbers), model.decoded);
    const readable = [0, ...numbers].map((number) => alphabet.readable(number));
    assert.deepEqual(readable, model.readable);
  });

  for (const [backend, own] of Object.entries(BACKENDS)) {
    test(`${name}: predictions and states in ${backend} are Python's`, () => {
      const stack = stackOf(model, own);
      for (const { text, ids, log_p: logP, layers } of texts) {
        const states = statesOf(stack, ids);
        states.forEach((state, place) =>
          close(stack.predict(state), logP[place], 1e-4, `${JSON.stringify(text)} at ${place}`),
        );
        layers.forEach((values, place) => close(states[place + 1], values.flat(2), 1e-4));
      }
    });
  }

  test(`${name}: a unit's sums are Python's`, () => {
    const stack = stackOf(model);
    const states = statesOf(stack, texts[1].ids.slice(0, 8));
    model.steps.forEach((steps, layer) =>
      steps.forEach(({ gates, ...expected }, place) => {
        const [before, after] = [states[place], states[place + 1]];
        const symbol = texts[1].ids[place];
        const step = page.unitStep(stack, { before, after, symbol, layer, unit: 3 });
        assert.deepEqual([...step.gates].map((gate) => gate.name), gates.map(([gate]) => gate));
        step.gates.forEach(({ input, hidden, bias, preActivation, value }, number) =>
          close([input, hidden, bias, preActivation, value], gates[number].slice(1), 1e-4),
        );
        for (const [key, value] of Object.entries(expected)) close([step[key]], [value], 1e-4, key);
      }),
    );
  });

  test(`${name}: a text has Python's bits and values, and after an edit those of the new text`, () => {
    const stack = stackOf(model);
    const alphabet = new page.Alphabet(config);
    const read = new page.ReadText(stack);
    const reread = (text) => {
      read.replace(alphabet.symbolsOf(alphabet.normalized(text)));
      while (!read.isRead) read.advance();
    };
    const [layer, unit] = [1, 3];
    const { names, hasCellState } = config.spec;
    const valueOf = (values) =>
      hasCellState ? Math.tanh(values[layer][names.indexOf("cell")][unit]) : values[layer][names.indexOf("hidden")][unit];
    for (const { text, bits, layers } of [...texts, ...texts.toReversed()]) {
      reread(text);
      close(read.bits, bits, 2e-4);
      close(layers.map((_, place) => read.valueOf(place + 1, layer, unit)), layers.map(valueOf), 1e-4);
    }
    const { text, bits } = texts[1];
    reread(text);
    read.replace(alphabet.symbolsOf(text.slice(0, 6)));
    assert.ok(read.isRead); // what is unchanged isn't read again
    close(read.bits, bits.slice(0, 6), 2e-4);
    reread(text);
    close(read.bits, bits, 2e-4);
  });

  test(`${name}: context lengths have Python's entropies`, () => {
    const stack = stackOf(model);
    const symbols = texts[1].ids.slice(0, 8);
    const search = page.contextLengths(stack, symbols, statesOf(stack, symbols).at(-1));
    let result;
    while (!result?.done) result = search.next();
    const found = [...result.value];
    assert.deepEqual(found.map(({ length }) => length), model.ladder.map(([length]) => length));
    close(found.map(({ logP }) => page.entropyBits(logP)), model.ladder.map(([, bits]) => bits), 1e-4);
  });

  test(`${name}: distributions are sorted and tempered as in Python`, () => {
    const logP = Float64Array.from(texts[1].log_p.at(-1));
    close([page.entropyBits(logP)], [model.entropy], 1e-4);
    assert.deepEqual([...page.ranked(logP)], model.order);
    assert.deepEqual([...page.ranked(logP, 3)], model.order.slice(0, 3));
    for (const [temperature, expected] of model.tempered) {
      const drawn = page.tempered(logP, temperature);
      close([...drawn].map(Math.exp), expected, 1e-6, `temperature ${temperature}`);
      assert.ok(page.entropyBits(drawn) >= 0);
    }
  });

  test(`${name}: a drawing's equations add up`, () => {
    const stack = stackOf(model);
    const [before, after] = statesOf(stack, texts[1].ids.slice(0, 1));
    const symbol = texts[1].ids[0];
    const step = page.unitStep(stack, { before, after, symbol, layer: 0, unit: 0 });
    const cell = page.CELLS[config.cell];
    const flows = page.flowsOf(step, config.cell);
    for (const [line] of cell.drawing.lines) assert.ok(Number.isFinite(flows[line]), line);
    assert.deepEqual(Object.keys(cell.drawing.boxes).sort(), [...config.spec.drawn].sort());
    if (config.cell !== "rnn") close([flows.kept + flows.entered], [flows.cell ?? flows.hidden], 1e-4);
    // The figures of the words, in their order.
    const { candidate } = flows;
    const told = {
      lstm: [100 * flows.forget, flows.before, 100 * flows.input, candidate, 100 * flows.output],
      gru: [100 * flows.update, flows.before, candidate, 100 * flows.reset],
      rnn: [flows.hidden],
    }[config.cell];
    const words = cell.words(flows, "Here").replaceAll("\u2212", "-").replaceAll(/(\d)\. /g, "$1 ");
    close(words.match(/-?\d[\d.]*/g).map(Number), told, 0.51);
    assert.equal(words.match(/%/g)?.length ?? 0, told.length - (config.cell === "rnn" ? 1 : 2));
    for (const equation of cell.equations(flows, step.gates)) {
      const [computed, result] = equation.replaceAll("\u2212", "-").split(" = ").slice(-2);
      const value = vm.runInNewContext(computed.replaceAll("\u00d7", "*").replace("tanh", "Math.tanh"));
      close([value], [Number(result)], 0.004, equation);
    }
  });
}

test("a sample at temperature 0 takes the most likely symbol, after what is unread", () => {
  const stack = stackOf(models.lstm);
  const unread = models.lstm.texts[1].ids;
  const options = { unread, temperature: 0, random: page.randomNumbers(1) };
  const drawn = page.drawnSymbols(stack, stack.start(), options);
  for (let number = 0; number < unread.length; number += 1) assert.equal(drawn.next().value, undefined);
  let state = statesOf(stack, unread).at(-1);
  for (let number = 0; number < 5; number += 1) {
    const [best] = page.ranked(page.tempered(stack.predict(state), 0));
    assert.equal(drawn.next().value, best);
    state = stack.read(best, state);
  }
});

test("draws follow the distribution and top-k", () => {
  const random = page.randomNumbers(7);
  const logP = [0, 0.5, 0.3, 0.2].map(Math.log);
  const counts = [0, 0, 0, 0];
  for (let number = 0; number < 20000; number += 1) counts[page.draw(logP, Infinity, random)] += 1;
  // Five standard deviations of a share of 20,000 draws are 0.018.
  close(counts.map((count) => count / 20000), logP.map(Math.exp), 0.018);
  for (let number = 0; number < 20; number += 1) assert.equal(page.draw(logP, 1, random), 1);
  assert.equal(page.draw([-Infinity, 0, 0], 1, random), 1);
});

test("a seed gives the same numbers, each seed its own", () => {
  const numbers = (seed) => Array.from({ length: 5 }, page.randomNumbers(seed));
  assert.deepEqual(numbers(3), numbers(3));
  const firsts = [0, 1, 2, 2 ** 32 - 1].map((seed) => numbers(seed)[0]);
  assert.equal(new Set(firsts).size, 4);
  assert.ok(firsts.every((number) => number >= 0 && number < 1));
});

const alphabetOf = (level, lineEnd = [10]) =>
  new page.Alphabet({ codes: [...Array(256).keys()], level, normalize: "none", keepLineEnds: true, lineEnd });

test("in a text of CR LF, a line end is both, and either can be typed", () => {
  for (const level of ["char", "byte"]) {
    const alphabet = alphabetOf(level, [13, 10]);
    assert.deepEqual([...alphabet.symbolsOf("a\nb")].map(({ code, end }) => [code, end]),
      [[97, 1], [13, 2], [10, 2], [98, 3]]);
    assert.deepEqual([14, 11].map((number) => alphabet.canBeTyped(number)), [true, true]);
    assert.equal(alphabetOf(level).canBeTyped(14), false);
  }
});

test("symbols end where the field counts them", () => {
  assert.deepEqual([...alphabetOf("char").symbolsOf("\u{1f600}b")].map(({ end }) => end), [2, 3]);
});

test("labels are visible", () => {
  const alphabet = alphabetOf("char");
  const labels = ["\u23ce", "\u21e5", "\u2423", "\u2400", "U+007F", "U+200B", "\u25cc\u0301", "end", "x"];
  const codes = [10, 9, 32, 0, 127, 0x200b, 0x301, 0xfdd0, 120];
  assert.deepEqual(codes.map((code) => alphabet.label(code)), labels);
  assert.equal(alphabetOf("byte").label(0xe9), "xE9");
});

/** A text that is read by a model with given bits and values of a unit; a state is the number of symbols read. */
function textOf({ end = null } = {}) {
  const given = { bits: [], values: [] };
  const text = new page.ReadText({
    config: { end, spec: { hasCellState: false } },
    start: () => 0,
    read: (_, state) => state + 1,
    predict: (state) => Array(300).fill(-given.bits[state] * Math.LN2),
    valuesOf: (state) => [given.values[state - 1] ?? 0],
  });
  const read = (values) => {
    Object.assign(given, values);
    while (!text.isRead) text.advance();
  };
  return { text, read };
}

test("an edit keeps what is before and after it, characters of several bytes as a whole", () => {
  const { text, read } = textOf();
  const alphabet = alphabetOf("byte");
  const replace = (value) => ({ ...text.replace(alphabet.symbolsOf(value)) });
  assert.deepEqual(replace("ab\u00e9cd"), { same: 0, tail: 0 });
  read({ bits: [1, 2, 3, 4, 5, 6], values: [0, 0, 1, 0, 0, 0] });
  assert.equal(text.mostSurprising(), 5);
  assert.equal(text.largestStep(0, 0), 2);
  assert.deepEqual([1, 2, 3].map((place) => text.charBits(place)), [2, 3, 7]);
  // \u00e8 and \u00e9 share their first byte.
  assert.deepEqual(replace("ab\u00e8cd"), { same: 2, tail: 2 });
  assert.deepEqual([...text.bits], [1, 2]);
  read({ bits: [1, 2, 3, 4, 5.05, 8] });
  assert.deepEqual([2, 4, 5].map((place) => text.noticedChange(place)), [0, 0, 2]);
  // \u00a9 and \u00e9 share their last byte.
  replace("ab\u00e9cd");
  assert.deepEqual(replace("ab\u00a9cd"), { same: 2, tail: 2 });
  // Another text is not an edit of this one.
  replace("xyz");
  assert.equal(text.change(0), undefined);
});

test("a document's symbols are those after the last end", () => {
  const before = (place, end) => {
    const { text } = textOf({ end });
    text.replace(alphabetOf("char").symbolsOf("one\ntwo"));
    return [...text.documentBefore(place)].map(({ code }) => String.fromCharCode(code)).join("");
  };
  assert.equal(before(6, 11), "tw");
  assert.equal(before(4, 11), "");
  assert.equal(before(6, null), "one\ntw");
});

test("shades grow with the value, and the limits of surprisal with the vocabulary", () => {
  assert.deepEqual([...page.surprisalSteps(64)], [0.5, 1.5, 3, 5, 8]);
  assert.deepEqual([...page.surprisalSteps(4096)], [1, 3, 6, 10, 16]);
  assert.deepEqual([0.4, 0.5, 4.9, 8].map((bits) => page.surprisalShade(bits, page.surprisalSteps(64))),
    ["s0", "s1", "s3", "s5"]);
  assert.deepEqual([0.05, 0.1, 0.8, -0.3].map(page.unitShade), ["p0", "p1", "p4", "n2"]);
});

test("words have the figures of the text, in bits", () => {
  const alphabet = alphabetOf("char");
  const { text, read } = textOf();
  text.replace(alphabet.symbolsOf("ab cdef"));
  read({ bits: [1, 2, 6, 1, 2, 1, 1] });
  const most = (bits) => `${bits} bits per character on average; the most surprising is \u201c\u2423\u201d, character 3`;
  assert.equal(page.surprisalWords(text, alphabet), `${most("2.00")}, with 6.0 bits.`);
  text.replace(alphabet.symbolsOf("xb cdef"));
  read({ bits: [1, 4, 5.5, 1, 2, 1, 3] });
  assert.equal(page.surprisalWords(text, alphabet), `${most("2.50")}, with 5.5 bits. ` +
    "The last edit changed the surprisal of 3 characters after it, the last one 6 characters on: " +
    "3.5 bits more in all. \u25b2 marks what became more, \u25bc less surprising.");
  const logP = Float64Array.from(Array(257), () => -Infinity);
  [["a", 0.5], ["\n", 0.25], ["c", 0.25]].forEach(([char, p]) => (logP[char.charCodeAt(0) + 1] = Math.log(p)));
  const next = page.nextWords(logP, alphabet, text.symbols.slice(0, 3)).replaceAll("\u00a0", " ");
  assert.equal(next, "After \u201cxb\u2423\u201d: a 50 %, \u23ce 25 %, c 25 %; entropy 1.50 bits.");
  // A right-to-left text doesn't turn the sentence around it.
  const words = page.nextWords(logP, alphabet, alphabet.symbolsOf("\u05e9\u05dc"));
  assert.ok(words.startsWith("After \u201c\u2068\u05e9\u05dc\u2069\u201d: a"), words);
  assert.deepEqual([0.5, 0.0512, 0.005].map((one) => page.share(one).replace("\u00a0", " ")),
    ["50 %", "5.1 %", "0.50 %"]);
});
