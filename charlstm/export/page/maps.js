// Heat maps of all layers: a column for each symbol of a part of the text, a row for each unit.

const ROW_HEIGHT = 11;
const ALL_ROW_HEIGHT = 2;
const COLUMN_WIDTH = 11; // pixels at least
const MARGIN = 34; // pixels for the numbers of units
const NAMES_WIDTH = 88; // pixels of the names beside the maps, where there is room for them

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** Return a color of the style sheet, for canvases. */
const styleColor = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

/** Return r, g, b: blue for open gates and positive values, red for negative ones. */
function colorOf(name, value) {
  const strength = isGate(name) ? value : Math.abs(name === "cell" ? Math.tanh(value) : value);
  const target = !isGate(name) && value < 0 ? [196, 58, 38] : [26, 95, 190];
  const [ground, lighter] = isDark() ? [40, 45 * strength] : [248, 0];
  return target.map((channel) => Math.round(ground + (channel - ground) * strength + lighter));
}

/** Clear a canvas and set its height in CSS pixels; return its context and width. */
function prepared(canvas, height) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width };
}

/** `values` are [columns x units]; there may be fewer columns than the stretch is long. */
function drawMap(canvas, { name, values, units, numColumns, chosenColumn, chosenUnit, rowHeight }) {
  const height = units.length * rowHeight;
  const { context, width } = prepared(canvas, height);
  const numRead = values.length / units.length;
  const columnWidth = (width - MARGIN) / numColumns;
  if (numRead) {
    // One pixel for each value; the browser enlarges it.
    const image = new ImageData(numRead, units.length);
    values.forEach((value, place) => {
      const pixel = (place % units.length) * numRead + Math.floor(place / units.length);
      image.data.set([...colorOf(name, value), 255], 4 * pixel);
    });
    const small = new OffscreenCanvas(numRead, units.length);
    small.getContext("2d")?.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, MARGIN, 0, numRead * columnWidth, height);
  }
  const ink = styleColor("ink");
  if (rowHeight >= ROW_HEIGHT) {
    context.fillStyle = ink;
    context.font = "9px system-ui, sans-serif";
    context.textAlign = "right";
    units.forEach((unit, row) => context.fillText(String(unit), MARGIN - 5, (row + 1) * rowHeight - 2));
  }
  context.strokeStyle = ink;
  context.lineWidth = 1;
  if (chosenColumn >= 0 && chosenColumn < numColumns) {
    context.strokeRect(MARGIN + chosenColumn * columnWidth + 0.5, 0.5, columnWidth - 1, height - 1);
  }
  const row = units.indexOf(chosenUnit);
  if (row >= 0 && numRead) {
    context.strokeRect(MARGIN + 0.5, row * rowHeight + 0.5, numRead * columnWidth - 1, rowHeight - 1);
  }
}

/** Draw the symbols above and below the maps. */
function drawCharacters(canvas, { labels, chosenColumn }) {
  const [ink, accent, ground] = ["ink", "accent", "ground"].map(styleColor);
  const { context, width } = prepared(canvas, 18);
  const columnWidth = (width - MARGIN) / labels.length;
  context.font = `${Math.min(14, columnWidth * 1.5)}px ui-monospace, monospace`;
  context.textAlign = "center";
  labels.forEach((label, column) => {
    const left = MARGIN + column * columnWidth;
    if (column === chosenColumn) {
      context.fillStyle = accent;
      context.fillRect(left, 0, columnWidth - 1, 18);
    }
    context.fillStyle = column === chosenColumn ? ground : ink;
    context.fillText(label, left + columnWidth / 2, 13, columnWidth);
  });
}

/** Return the column and row of a map under the mouse. */
function placeInMap(event, { numColumns, numUnits }) {
  const canvas = event.currentTarget;
  const column = Math.floor(((event.offsetX - MARGIN) / (canvas.clientWidth - MARGIN)) * numColumns);
  const row = Math.floor((event.offsetY / canvas.clientHeight) * numUnits);
  return [column, Math.max(0, Math.min(numUnits - 1, row))];
}

/** The maps of all layers, folded at first. */
class Maps {
  constructor(page) {
    this.page = page;
    this.answer = undefined; // the worker's latest answer
    this.draw = this.draw.bind(this);
    this.build();
    on("maps", "toggle", () => page.look());
    on("all-units", "change", () => page.look());
    addEventListener("resize", () => {
      if (this.isOpen) page.look();
    });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => page.show(this.draw));
  }

  /** Clear the value shown for the mouse, after the text has changed. */
  forget() {
    element("hover-words").textContent = this.hint;
  }

  get isOpen() {
    return element("maps").open;
  }

  get isWhole() {
    return element("all-units").checked;
  }

  get numColumns() {
    const { clientWidth } = element("layers");
    return Math.max(8, Math.floor((clientWidth - NAMES_WIDTH - MARGIN) / COLUMN_WIDTH));
  }

  /** Return the part of the text to show; it ends a little after the position shown. */
  stretch() {
    if (!this.isOpen) return undefined;
    const { numColumns, page } = this;
    const { length } = page.text.symbols;
    const end = Math.max(numColumns, Math.min(length, page.place + Math.floor(numColumns / 4)));
    const units = page.config.units.map((_, layer) => this.unitsOf(layer));
    return { first: end - numColumns + 1, last: Math.min(end, length), units };
  }

  /** Return the units to show: those with the most variable gates, and the selected one. */
  unitsOf(layer) {
    const { config, unitNumber } = this.page;
    if (this.isWhole) return [...Array(config.hiddenSize).keys()];
    const moving = config.units[layer];
    const isNew = layer === this.page.layer && !moving.includes(unitNumber);
    return isNew ? [unitNumber, ...moving] : moving;
  }

  draw() {
    if (!this.answer || !this.isOpen) return;
    const { numColumns, page } = this;
    const { first, units, layers } = this.answer;
    const chosenColumn = page.place - first;
    for (const canvas of element("layers").querySelectorAll("canvas")) {
      const { name } = canvas.dataset;
      if (!name) {
        const labels = Array.from({ length: numColumns }, (_, column) => this.labelAt(first + column));
        drawCharacters(canvas, { labels, chosenColumn });
        continue;
      }
      const layer = Number(canvas.dataset.layer);
      drawMap(canvas, {
        name,
        values: layers[layer][name],
        units: units[layer],
        numColumns,
        chosenColumn,
        chosenUnit: layer === page.layer ? page.unitNumber : -1,
        rowHeight: this.isWhole ? ALL_ROW_HEIGHT : ROW_HEIGHT,
      });
    }
  }

  /** Return the label of the symbol before a position, or an empty string outside the text. */
  labelAt(place) {
    const symbol = this.page.text.symbols[place - 1];
    return symbol ? this.page.alphabet.label(symbol.code) : "";
  }

  /** Return the value under the mouse, or undefined outside the map. */
  valueAt(event) {
    const { layer, name } = event.currentTarget.dataset;
    if (!this.answer) return undefined;
    const { first, units, layers } = this.answer;
    const rows = units[layer];
    const { numColumns } = this;
    const [column, row] = placeInMap(event, { numColumns, numUnits: rows.length });
    const value = column < 0 ? undefined : layers[layer][name][column * rows.length + row];
    return value === undefined ? undefined : { place: first + column, unit: rows[row], value };
  }

  build() {
    const { config, alphabet } = this.page;
    element("inside-words").textContent =
      `Each row is a unit, its number beside it; each column a ${alphabet.symbol}. ` +
      (!config.spec.gates.length
        ? "Values go from \u22121 (red) to 1 (blue)."
        : "Gates go from 0 (blank) to 1 (blue), all else from \u22121 (red) to 1 (blue)" +
          (config.spec.hasCellState ? ", the cell state through tanh." : "."));
    this.hint = element("hover-words").textContent;
    for (let layer = 0; layer < config.numLayers; layer += 1) {
      const title = `Layer ${layer + 1}`;
      const heading = config.numLayers > 1 ? [make("h3", {}, title)] : [];
      const characters = () =>
        make("div", { class: "map" }, make("span"), make("canvas", { "aria-hidden": "true" }));
      const maps = inDrawnOrder(config.spec).map((name) => this.buildMap(layer, name));
      const parts = [...heading, characters(), ...maps, characters()];
      element("layers").append(make("div", { class: "layer", role: "group", "aria-label": title }, ...parts));
    }
  }

  buildMap(layer, name) {
    const { page } = this;
    const words = `${name}: ${page.config.spec.meanings[name]}`;
    const canvas = make("canvas", { role: "img", "aria-label": words, "data-name": name, "data-layer": layer });
    const say = (event) => {
      const found = this.valueAt(event);
      if (!found) return;
      const label = this.labelAt(found.place);
      const after = label ? `after ${quoted(label)}` : "before the text";
      element("hover-words").textContent =
        `Layer ${layer + 1}, unit ${found.unit}, ${after}: ${name} ${signed(found.value)}`;
    };
    canvas.addEventListener("pointermove", say);
    canvas.addEventListener("click", (event) => {
      say(event);
      const found = this.valueAt(event);
      if (!found) return;
      page.choose(found.place);
      page.follow(layer, found.unit);
    });
    return make("div", { class: "map" }, make("span", {}, name), canvas);
  }
}
