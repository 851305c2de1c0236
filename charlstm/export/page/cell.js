// The drawing of one unit: inputs at the bottom, gates as valves, the memory along the top.

const SVG = "http://www.w3.org/2000/svg";

const BOX = { width: 128, top: 222, height: 80 };
const VALVE = { width: 112, height: 10 };
const BUS = 324; // the line that brings the inputs to every box

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
function makeSvg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Draw one step; `source` names what is read, `size` is the number of units. */
function drawCell(figure, step, { cell, source, size, words }) {
  const { boxes, nodes, lines, labels } = CELLS[cell].drawing;
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
    svg.append(makeSvg("circle", { cx: x, cy: y, r: name === "tanh" ? 20 : 14, class: "node" }));
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
  svg.append(drawSource(150, source), drawSource(450, `h before, ${size} units`));
  figure.replaceChildren(svg);
}

/** Draw a gate with its valve, or the candidate with a scale from -1 to 1. */
function drawBox(name, x, step) {
  const { preActivation, value } = step.gates.find((gate) => gate.name === name);
  const { width, top, height } = BOX;
  const group = makeSvg("g", {});
  group.append(makeSvg("line", { x1: x, x2: x, y1: top + height, y2: BUS, class: "wire" }));
  group.append(makeSvg("rect", { x: x - width / 2, y: top, width, height, rx: 6, class: "box" }));
  group.append(makeSvg("text", { x: x - width / 2 + 8, y: top + 20 }, titleOfValue(name)));
  group.append(
    makeSvg("text", { x: x + width / 2 - 8, y: top + 40, "text-anchor": "end", class: "value" },
      signed(value)),
  );
  const left = x - VALVE.width / 2;
  const valveTop = top + 46;
  group.append(
    makeSvg("rect", { x: left, y: valveTop, width: VALVE.width, height: VALVE.height, class: "valve" }),
  );
  // A gate fills from the left, a value from the middle.
  const [from, to] = isGate(name) ? [0, value] : [0.5, (1 + value) / 2].sort((a, b) => a - b);
  const kind = isGate(name) ? "gate" : value < 0 ? "negative" : "positive";
  group.append(
    makeSvg("rect", { x: left + from * VALVE.width, y: valveTop, width: Math.max(1, (to - from) * VALVE.width),
      height: VALVE.height, class: `open ${kind}` }),
  );
  const squash = isGate(name) ? "\u03c3" : "tanh";
  group.append(
    makeSvg("text", { x, y: top + 74, class: "small mark" }, `${squash}(${signed(preActivation)})`),
  );
  return group;
}

function drawSource(x, text) {
  const group = makeSvg("g", {});
  group.append(makeSvg("line", { x1: x, x2: x, y1: BUS, y2: 350, class: "wire" }));
  group.append(makeSvg("rect", { x: x - 135, y: 350, width: 270, height: 36, rx: 18, class: "source" }));
  group.append(makeSvg("text", { x, y: 374, class: "mark" }, text));
  return group;
}

/** Describe what each gate did. */
const cellWords = (step, { cell, where }) => CELLS[cell].words(flowsOf(step, cell), where);

/** Return the step as equations with its numbers. */
const cellEquations = (step, cell) => CELLS[cell].equations(flowsOf(step, cell), step.gates);
