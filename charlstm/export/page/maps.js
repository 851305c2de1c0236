// Heat maps of all layers: a column for each symbol of a part of the text, a row for each unit.

const ROW_HEIGHT = 11; // pixels
const ALL_ROW_HEIGHT = 2;
const COLUMN_WIDTH = 11; // pixels at least
const NAMES_WIDTH = 122; // pixels of names and of units' numbers beside the maps

/** Return r, g, b: blue for open gates and positive values, red for negative ones. */
function colorOf(name, value, isDark) {
  const strength = isGate(name) ? value : Math.abs(name === "cell" ? Math.tanh(value) : value);
  const target = !isGate(name) && value < 0 ? [196, 58, 38] : [26, 95, 190];
  const [ground, lighter] = isDark ? [40, 45 * strength] : [248, 0];
  return target.map((channel) => Math.round(ground + (channel - ground) * strength + lighter));
}

/** Outline a part of a map, in fractions of its sides; hide the outline if there is no such part. */
function outline(box, { left = 0, top = 0, width = 1, height = 1 }) {
  box.hidden = left < 0 || left >= 1 || top < 0 || !width;
  for (const [name, value] of Object.entries({ left, top, width, height })) {
    box.style[name] = `${100 * value}%`;
  }
}

/** The maps of all layers, folded at first. */
class Maps {
  constructor(page) {
    this.page = page;
    this.draw = this.draw.bind(this);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.labels = []; // rows of symbols, above and below the maps
    this.maps = [];
    this.build();
    const redraw = () => page.show(this.draw);
    on("maps", "toggle", redraw);
    on("all-units", "change", redraw);
    addEventListener("resize", redraw);
    this.dark.addEventListener("change", redraw);
  }

  /** Clear the value shown for the mouse, after the text has changed. */
  forget() {
    element("hover-words").textContent = this.hint;
  }

  get numColumns() {
    return Math.max(8, Math.floor((element("layers").clientWidth - NAMES_WIDTH) / COLUMN_WIDTH));
  }

  /** The number of symbols up to the first column; the last is a little after the position shown. */
  get first() {
    const { numColumns, page } = this;
    const end = Math.min(page.text.symbols.length, page.place + Math.floor(numColumns / 4));
    return Math.max(1, end - numColumns + 1);
  }

  get isWhole() {
    return element("all-units").checked;
  }

  /** Return the units to show: those with the most variable gates, and the selected one. */
  unitsOf(layer) {
    const { config, unit } = this.page;
    if (this.isWhole) return [...Array(config.hiddenSize).keys()];
    const moving = config.units[layer];
    const isNew = layer === this.page.layer && !moving.includes(unit);
    return isNew ? [unit, ...moving] : moving;
  }

  draw() {
    if (!element("maps").open) return;
    const { first, numColumns, page } = this;
    for (const row of this.labels) {
      row.replaceChildren(
        ...Array.from({ length: numColumns }, (_, column) =>
          make("span", { class: first + column === page.place ? "chosen" : "" }, this.labelAt(first + column)),
        ),
      );
    }
    const states = page.text.states.slice(first, first + numColumns);
    for (const map of this.maps) this.drawMap(map, states);
  }

  /** Draw a map with a pixel for each value, which the style sheet enlarges. */
  drawMap({ canvas, numbers, column, row, layer, name }, states) {
    const { first, numColumns, page, isWhole } = this;
    const units = this.unitsOf(layer);
    const image = new ImageData(numColumns, units.length);
    states.forEach((state, x) => {
      const values = page.stack.valuesOf(state, layer, name);
      units.forEach((unit, y) =>
        image.data.set([...colorOf(name, values[unit], this.dark.matches), 255], 4 * (y * numColumns + x)),
      );
    });
    canvas.width = numColumns;
    canvas.height = units.length;
    canvas.style.height = `${units.length * (isWhole ? ALL_ROW_HEIGHT : ROW_HEIGHT)}px`;
    canvas.getContext("2d").putImageData(image, 0, 0);
    numbers.textContent = isWhole ? "" : units.join("\n");
    outline(column, { left: (page.place - first) / numColumns, width: 1 / numColumns });
    outline(row, {
      top: layer === page.layer ? units.indexOf(page.unit) / units.length : -1,
      width: states.length / numColumns,
      height: 1 / units.length,
    });
  }

  /** Return the label of the symbol before a position, or an empty string outside the text. */
  labelAt(place) {
    const symbol = this.page.text.symbols[place - 1];
    return symbol ? this.page.alphabet.label(symbol.code) : "";
  }

  /** Return the value under the mouse, or undefined outside the text. */
  valueAt({ offsetX, offsetY }, { canvas, layer, name }) {
    const { page } = this;
    const units = this.unitsOf(layer);
    const place = this.first + Math.floor((offsetX / canvas.clientWidth) * this.numColumns);
    const unit = units[Math.floor((offsetY / canvas.clientHeight) * units.length)];
    const state = page.text.states[place];
    return state && unit !== undefined && { place, unit, value: page.stack.valuesOf(state, layer, name)[unit] };
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
      const maps = inDrawnOrder(config.spec).map((name) => this.buildMap(layer, name));
      const parts = [...heading, this.buildLabels(), ...maps, this.buildLabels()];
      element("layers").append(make("div", { class: "layer", role: "group", "aria-label": title }, ...parts));
    }
  }

  buildLabels() {
    const row = make("div", { class: "labels" });
    this.labels.push(row);
    return make("div", { class: "map", "aria-hidden": "true" }, make("span"), make("span"), row);
  }

  buildMap(layer, name) {
    const { page } = this;
    const words = `${name}: ${page.config.spec.meanings[name]}`;
    const canvas = make("canvas", { role: "img", "aria-label": words, "data-name": name, "data-layer": layer });
    const [numbers, column, row] = [make("span", { class: "units", "aria-hidden": "true" }), make("i"), make("i")];
    const map = { canvas, numbers, column, row, layer, name };
    this.maps.push(map);
    const say = (event) => {
      const found = this.valueAt(event, map);
      if (!found) return;
      const label = this.labelAt(found.place);
      const after = label ? `after ${quoted(label)}` : "before the text";
      element("hover-words").textContent =
        `Layer ${layer + 1}, unit ${found.unit}, ${after}: ${name} ${signed(found.value)}`;
    };
    canvas.addEventListener("pointermove", say);
    canvas.addEventListener("click", (event) => {
      say(event);
      const found = this.valueAt(event, map);
      if (!found) return;
      page.choose(found.place);
      page.follow(layer, found.unit);
    });
    return make("div", { class: "map" }, make("span", {}, name), numbers, make("div", {}, canvas, column, row));
  }
}
