// Heat maps: a column for each symbol of a stretch of the text, a row for each unit.

const ROW_HEIGHT = 11;
const ALL_ROW_HEIGHT = 2;
const COLUMN_WIDTH = 11; // pixels at least
const MARGIN = 34; // pixels for the numbers of units

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** Blue for open gates; blue for positive and red for negative values: r, g, b. */
function colorOf(name, value) {
  const strength = isGate(name) ? value : Math.abs(name === "cell" ? Math.tanh(value) : value);
  const target = !isGate(name) && value < 0 ? [196, 58, 38] : [26, 95, 190];
  const [ground, lighter] = isDark() ? [40, 45 * strength] : [248, 0];
  return target.map((channel) => Math.round(ground + (channel - ground) * strength + lighter));
}

/** A canvas of a height in CSS pixels, ready to be drawn on, cleared. */
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
    // One pixel a value, and the browser enlarges it.
    const image = new ImageData(numRead, units.length);
    values.forEach((value, place) => {
      const pixel = (place % units.length) * numRead + Math.floor(place / units.length);
      image.data.set([...colorOf(name, value), 255], 4 * pixel);
    });
    const small = new OffscreenCanvas(numRead, units.length);
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, MARGIN, 0, numRead * columnWidth, height);
  }
  const ink = isDark() ? "#e8e9ec" : "#1c1d20";
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

/** The symbols under the maps. */
function drawCharacters(canvas, { labels, chosenColumn }) {
  const { context, width } = prepared(canvas, 18);
  const columnWidth = (width - MARGIN) / labels.length;
  context.font = `${Math.min(14, columnWidth * 1.5)}px ui-monospace, monospace`;
  context.textAlign = "center";
  labels.forEach((label, column) => {
    const left = MARGIN + column * columnWidth;
    context.fillStyle = isDark() ? "#e8e9ec" : "#1c1d20";
    if (column === chosenColumn) {
      context.fillStyle = isDark() ? "#8ab6ff" : "#1457b8";
      context.fillRect(left, 0, columnWidth - 1, 18);
      context.fillStyle = isDark() ? "#15171b" : "#fff";
    }
    context.fillText(label, left + columnWidth / 2, 13, columnWidth);
  });
}

/** The column and row of a map under the mouse. */
function placeInMap(event, { numColumns, numUnits }) {
  const canvas = event.currentTarget;
  const column = Math.floor(((event.offsetX - MARGIN) / (canvas.clientWidth - MARGIN)) * numColumns);
  const row = Math.floor((event.offsetY / canvas.clientHeight) * numUnits);
  return [column, Math.max(0, Math.min(numUnits - 1, row))];
}
