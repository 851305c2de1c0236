// The drawing of one unit: inputs at the bottom, gates as valves, the memory along the top.

const BOX = { width: 128, top: 222, height: 80 };
const VALVE = { width: 112, height: 10 };
const BUS = 324; // the line that brings the inputs to every box

/** Return the style of a value: gates have one color, other values one for each sign. */
function kindOf(name, value) {
  if (isGate(name) || name === "open") return "gate";
  return value < 0 ? "negative" : "positive";
}

/** Draw one step; `source` names what is read, `size` is the number of units. */
function drawCell(figure, step, { cell, source, size, words }) {
  const { boxes, nodes, lines, labels } = CELLS[cell].drawing;
  const flows = flowsOf(step, cell);
  const svg = makeSvg("svg", { viewBox: "0 0 600 400", role: "img", "aria-label": words });
  for (const [name, points] of lines) {
    const width = 1 + 7 * Math.abs(Math.tanh(1.5 * flows[name]));
    const style = { class: `flow ${kindOf(name, flows[name])}`, "stroke-width": width.toFixed(1) };
    const places = points.map((point) => point.join(",")).join(" ");
    svg.append(makeSvg("polyline", { points: places, ...style }));
  }
  for (const [name, [x, y]] of Object.entries(nodes)) {
    const [mark] = name.split(" ");
    const small = mark.length > 1 ? "small" : "";
    svg.append(
      makeSvg("circle", { cx: x, cy: y, r: name === "tanh" ? 20 : 14, class: "node" }),
      makeSvg("text", { x, y: y + 5, class: `mark ${small}` }, mark),
    );
  }
  for (const [text, name, x, y, anchor] of labels) {
    const value = makeSvg("tspan", { class: "value" }, signed(flows[name]));
    svg.append(makeSvg("text", { x, y, "text-anchor": anchor, class: "label" }, `${text} `, value));
  }
  const centers = [150, ...Object.values(boxes), 450];
  const ends = `${Math.min(...centers)},${BUS} ${Math.max(...centers)},${BUS}`;
  svg.append(makeSvg("polyline", { points: ends, class: "wire" }));
  for (const [name, x] of Object.entries(boxes)) svg.append(drawBox(name, x, step));
  svg.append(drawSource(150, source), drawSource(450, `h before, ${size} units`));
  figure.replaceChildren(svg);
}

/** Draw a gate with its valve, or the candidate with a scale from -1 to 1. */
function drawBox(name, x, step) {
  const { preActivation, value } = step.gates.find((gate) => gate.name === name);
  const { width, top, height } = BOX;
  const [left, right] = [x - width / 2 + 8, x + width / 2 - 8];
  // A gate fills from the left, a value from the middle.
  const [from, to] = isGate(name) ? [0, value] : [0.5, (1 + value) / 2].sort((a, b) => a - b);
  const valve = { x: left, y: top + 46, ...VALVE };
  const filled = { x: left + from * VALVE.width, width: Math.max(1, (to - from) * VALVE.width) };
  const squash = isGate(name) ? "\u03c3" : "tanh";
  return makeSvg("g", {},
    makeSvg("line", { x1: x, x2: x, y1: top + height, y2: BUS, class: "wire" }),
    makeSvg("rect", { x: x - width / 2, y: top, width, height, rx: 6, class: "box" }),
    makeSvg("text", { x: left, y: top + 20 }, titleOfValue(name)),
    makeSvg("text", { x: right, y: top + 40, "text-anchor": "end", class: "value" }, signed(value)),
    makeSvg("rect", { ...valve, class: "valve" }),
    makeSvg("rect", { ...valve, ...filled, class: `open ${kindOf(name, value)}` }),
    makeSvg("text", { x, y: top + 74, class: "small mark" }, `${squash}(${signed(preActivation)})`),
  );
}

function drawSource(x, text) {
  return makeSvg("g", {},
    makeSvg("line", { x1: x, x2: x, y1: BUS, y2: 350, class: "wire" }),
    makeSvg("rect", { x: x - 135, y: 350, width: 270, height: 36, rx: 18, class: "source" }),
    makeSvg("text", { x, y: 374, class: "mark" }, text),
  );
}

/** Describe what each gate did. */
const cellWords = (step, { cell, where }) => CELLS[cell].words(flowsOf(step, cell), where);

/** Return the step as equations with its numbers. */
const cellEquations = (step, cell) => CELLS[cell].equations(flowsOf(step, cell), step.gates);
