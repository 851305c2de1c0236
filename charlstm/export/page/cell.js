// One unit's cell, drawn: what comes in below, gates as valves, the memory along the top.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Where everything stands, by cell. A line carries a value: its color is the sign, its width the
 * size. Boxes are the gates and the candidate; nodes combine what arrives.
 */
const DRAWINGS = {
  lstm: {
    boxes: { forget: 110, input: 230, candidate: 350, output: 470 },
    nodes: { "\u00d7 forget": [110, 50], "+": [290, 50], "\u00d7 input": [290, 130],
      "tanh": [530, 105], "\u00d7 output": [530, 175] },
    lines: [
      ["before", [[6, 50], [96, 50]]],
      ["kept", [[124, 50], [276, 50]]],
      ["entered", [[290, 116], [290, 64]]],
      ["cell", [[304, 50], [594, 50]]],
      ["cell", [[530, 50], [530, 91]]],
      ["squashed", [[530, 119], [530, 161]]],
      ["hidden", [[544, 175], [594, 175]]],
      ["forget", [[110, 222], [110, 64]]],
      ["input", [[230, 222], [230, 130], [276, 130]]],
      ["candidate", [[350, 222], [350, 130], [304, 130]]],
      ["output", [[470, 222], [470, 175], [516, 175]]],
    ],
    labels: [
      ["cell state before", "before", 6, 28, "start"],
      ["cell state now", "cell", 594, 28, "end"],
      ["h now", "hidden", 594, 204, "end"],
    ],
  },
  gru: {
    boxes: { update: 110, candidate: 290, reset: 450 },
    nodes: { "\u00d7 update": [110, 50], "+": [290, 50], "\u00d7 (1 \u2212 update)": [290, 130] },
    lines: [
      ["before", [[6, 50], [96, 50]]],
      ["kept", [[124, 50], [276, 50]]],
      ["entered", [[290, 116], [290, 64]]],
      ["hidden", [[304, 50], [594, 50]]],
      ["update", [[110, 222], [110, 64]]],
      ["open", [[110, 130], [276, 130]]],
      ["candidate", [[290, 222], [290, 144]]],
      ["reset", [[400, 258], [340, 258]]],
    ],
    labels: [
      ["hidden state h before", "before", 6, 28, "start"],
      ["hidden state h now", "hidden", 594, 28, "end"],
      ["1 \u2212 update", "open", 196, 120, "middle"],
    ],
  },
  rnn: {
    boxes: { hidden: 290 },
    nodes: {},
    lines: [["hidden", [[290, 222], [290, 50], [594, 50]]]],
    labels: [["hidden state h", "hidden", 594, 28, "end"]],
  },
};

const BOX = { width: 100, top: 222, height: 72 };
const VALVE = { width: 84, height: 10 };
const BUS = 322; // the line that brings what comes in to every box

const signed = (value, digits = 2) => value.toFixed(digits).replace("-", "\u2212");

function makeSvg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** What flows where, by the names in DRAWINGS. */
function flowsOf(step, cell) {
  const flows = Object.fromEntries(step.gates.map(({ name, value }) => [name, value]));
  if (cell === "lstm") {
    const { cellBefore: before, cell: now, hidden } = step;
    const kept = flows.forget * before;
    const entered = flows.input * flows.candidate;
    return { ...flows, before, kept, entered, cell: now, squashed: Math.tanh(now), hidden };
  }
  if (cell === "gru") {
    const open = 1 - flows.update;
    const before = step.hiddenBefore;
    const kept = flows.update * before;
    return { ...flows, open, before, kept, entered: open * flows.candidate, hidden: step.hidden };
  }
  return flows;
}

const isGate = (name) => ["input", "forget", "output", "reset", "update"].includes(name);

/** The drawing of one step; `reads` is the symbol that was read, `size` the number of units. */
function drawCell(figure, step, { cell, reads, size, below, words }) {
  const { boxes, nodes, lines, labels } = DRAWINGS[cell];
  const flows = flowsOf(step, cell);
  const svg = makeSvg("svg", { viewBox: "0 0 600 400", role: "img", "aria-label": words });
  for (const [name, points] of lines) {
    const value = flows[name];
    const strength = Math.abs(Math.tanh(1.5 * value));
    const kind = isGate(name) || name === "open" ? "gate" : value < 0 ? "negative" : "positive";
    svg.append(
      makeSvg("polyline", {
        points: points.map((point) => point.join(",")).join(" "),
        class: `flow ${kind}`,
        "stroke-width": (1 + 7 * strength).toFixed(1),
      }),
    );
  }
  for (const [name, [x, y]] of Object.entries(nodes)) {
    svg.append(makeSvg("circle", { cx: x, cy: y, r: 14, class: "node" }));
    const [mark] = name.split(" ");
    const small = mark.length > 1 ? "small" : "";
    svg.append(makeSvg("text", { x, y: y + 5, class: `mark ${small}` }, mark));
  }
  for (const [text, name, x, y, anchor] of labels) {
    const label = makeSvg("text", { x, y, "text-anchor": anchor, class: "label" }, `${text} `);
    label.append(makeSvg("tspan", { class: "value" }, signed(flows[name])));
    svg.append(label);
  }
  const centers = Object.values(boxes);
  svg.append(
    makeSvg("polyline", { points: `${Math.min(...centers, 150)},${BUS} ${Math.max(...centers, 450)},${BUS}`,
      class: "wire" }),
  );
  for (const [name, x] of Object.entries(boxes)) svg.append(drawBox(name, x, step));
  svg.append(drawSource(150, `${below ?? "reads"} ${reads}`));
  svg.append(drawSource(450, `h before, of all ${size} units`));
  figure.replaceChildren(svg);
}

/** A gate with its valve, or the candidate with a scale from -1 to 1. */
function drawBox(name, x, step) {
  const { preActivation, value } = step.gates.find((gate) => gate.name === name);
  const { width, top, height } = BOX;
  const group = makeSvg("g", {});
  group.append(makeSvg("line", { x1: x, x2: x, y1: top + height, y2: BUS, class: "wire" }));
  group.append(makeSvg("rect", { x: x - width / 2, y: top, width, height, rx: 6, class: "box" }));
  const title = name === "hidden" ? "hidden state" : name;
  group.append(makeSvg("text", { x: x - width / 2 + 8, y: top + 18 }, title));
  group.append(
    makeSvg("text", { x: x + width / 2 - 8, y: top + 37, "text-anchor": "end", class: "value" },
      signed(value)),
  );
  const left = x - VALVE.width / 2;
  const valveTop = top + 43;
  group.append(
    makeSvg("rect", { x: left, y: valveTop, width: VALVE.width, height: VALVE.height, class: "valve" }),
  );
  // A gate opens from the left, a value from the middle to its side.
  const [from, to] = isGate(name) ? [0, value] : [0.5, (1 + value) / 2].sort((a, b) => a - b);
  const kind = isGate(name) ? "gate" : value < 0 ? "negative" : "positive";
  group.append(
    makeSvg("rect", { x: left + from * VALVE.width, y: valveTop, width: Math.max(1, (to - from) * VALVE.width),
      height: VALVE.height, class: `open ${kind}` }),
  );
  const squash = isGate(name) ? "\u03c3" : "tanh";
  group.append(
    makeSvg("text", { x, y: top + 67, class: "small mark" }, `${squash}(${signed(preActivation)})`),
  );
  return group;
}

function drawSource(x, text) {
  const group = makeSvg("g", {});
  group.append(makeSvg("line", { x1: x, x2: x, y1: BUS, y2: 346, class: "wire" }));
  group.append(makeSvg("rect", { x: x - 135, y: 346, width: 270, height: 36, rx: 18, class: "source" }));
  group.append(makeSvg("text", { x, y: 369, class: "mark" }, text));
  return group;
}

/** What each gate did, in words and numbers. */
function cellWords(step, { cell, where }) {
  const flows = flowsOf(step, cell);
  const share = (value) => `${Math.round(100 * value)}\u00a0%`;
  const s = signed;
  if (cell === "lstm") {
    return [
      `${where}, the forget gate keeps ${share(flows.forget)} of the cell state ${s(flows.before)}.`,
      `The input gate lets ${share(flows.input)} of the candidate ${s(flows.candidate)} in.`,
      `The output gate shows ${share(flows.output)} of the new cell state, squashed by tanh.`,
    ].join(" ");
  }
  if (cell === "gru") {
    return [
      `${where}, the update gate keeps ${share(flows.update)} of the hidden state ${s(flows.before)}`,
      `and fills the rest with the candidate ${s(flows.candidate)}; for the candidate the reset gate`,
      `lets ${share(flows.reset)} of the last hidden state through.`,
    ].join(" ");
  }
  return `${where}, the hidden state is ${s(step.hidden)}. A plain network has no gates: it has no way to keep a value but to compute it anew at each step.`;
}

/** The step as equations with its numbers. */
function cellEquations(step, cell) {
  const flows = flowsOf(step, cell);
  const s = (value) => signed(value, 3);
  const times = "\u00d7";
  if (cell === "lstm") {
    return [
      `cell state now = forget ${times} cell state before + input ${times} candidate = ` +
        `${s(flows.forget)} ${times} ${s(flows.before)} + ${s(flows.input)} ${times} ` +
        `${s(flows.candidate)} = ${s(flows.cell)}`,
      `hidden state h = output ${times} tanh(cell state now) = ` +
        `${s(flows.output)} ${times} ${s(flows.squashed)} = ${s(flows.hidden)}`,
    ];
  }
  if (cell === "gru") {
    return [
      `h now = update ${times} h before + (1 \u2212 update) ${times} candidate = ` +
        `${s(flows.update)} ${times} ${s(flows.before)} + ${s(flows.open)} ${times} ` +
        `${s(flows.candidate)} = ${s(flows.hidden)}`,
    ];
  }
  const [{ preActivation }] = step.gates;
  return [`h = tanh(${s(preActivation)}) = ${s(step.hidden)}`];
}
