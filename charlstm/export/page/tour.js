// A tour in five steps, from a character to the gates.

/** Each step: its section, an action when it begins, and its text. */
const TOUR = [
  {
    section: "reading",
    begin: (page) => {
      page.shadeBy("surprisal");
      page.choose(page.text.mostSurprising() + 1);
    },
    words: ({ text, alphabet }) => {
      const place = text.mostSurprising();
      if (place < 0) return "Type a text: each character is shaded by how surprised the model was.";
      return (
        `The model reads one ${alphabet.symbol} at a time and never looks ahead. The stronger the ` +
        `shade, the less it expected what came: most of all ` +
        `${quoted(alphabet.label(text.symbols[place].code))}, ${text.bits[place].toFixed(1)} bits.`
      );
    },
  },
  {
    section: "next",
    begin: (page) => page.choose(page.text.mostSurprising()),
    words: ({ text, alphabet, place, logP }) => {
      const came = text.symbols[place];
      const surprisal = came
        ? ` What came was ${quoted(alphabet.label(came.code))}, with ${share(Math.exp(logP[came.number]))}.`
        : "";
      return (
        `Before that, the model gave every ${alphabet.symbol} a probability. Most likely: ` +
        `${likelyWords(logP, alphabet)}.${surprisal} Move through the ` +
        "text with the arrow keys: sometimes one bar takes all, sometimes many share."
      );
    },
  },
  {
    section: "context-lengths",
    begin: () => {},
    words: ({ contexts, alphabet }) => {
      const bits = contexts.map(({ logP }) => `${entropyBits(logP).toFixed(2)} bits`);
      if (bits.length < 3) return "With more text before the caret, you see here what context does.";
      return (
        `What is likely depends on what came before. Without any context the entropy is ${bits[0]}, ` +
        `knowing one ${alphabet.symbol} ${bits[1]}, knowing all of the text ${bits.at(-1)}. To use ` +
        `more than the last ${alphabet.symbol}, a network has to remember.`
      );
    },
  },
  {
    section: "cell",
    begin: (page) => page.choose(page.text.largestStep(page.layer, page.unit) + 1),
    words: ({ unitStep: step, config }) => {
      const memory = `This is one unit. ${CELLS[config.cell].memory}`;
      return `${memory} ${cellWords(step, { cell: config.cell, where: "Here" })} Step through the text.`;
    },
  },
  {
    section: "inside",
    begin: () => {
      element("maps").open = true;
    },
    words: ({ config }) =>
      `Many of the ${config.hiddenSize} units of each layer at once. Rows of the ` +
      `${config.spec.hasCellState ? "cell" : "hidden state"} that keep their color over many columns ` +
      "remember. Click one to follow it in the drawing and in the text.",
  },
];

class Tour {
  constructor(page) {
    this.page = page;
    this.number = undefined;
    on("tour-start", "click", () => this.go(0));
    on("tour-back", "click", () => this.go(this.number - 1));
    on("tour-next", "click", () => this.go(this.number + 1));
    on("tour-end", "click", () => this.end());
    on("tour", "keydown", ({ key }) => {
      if (key === "Escape") this.end();
    });
  }

  go(number) {
    this.leave();
    this.number = number;
    const { section, begin } = TOUR[number];
    element("tour").hidden = false;
    element("tour-back").disabled = number === 0;
    element("tour-next").disabled = number === TOUR.length - 1;
    begin(this.page);
    element(section).classList.add("toured");
    this.draw();
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    element(section).scrollIntoView({ behavior: isCalm ? "auto" : "smooth", block: "start" });
    // A screen reader reads the step, and the next key press can go on.
    element("tour-words").focus({ preventScroll: true });
  }

  draw() {
    const { page, number } = this;
    if (number === undefined) return;
    // Wait until all is known, so that a screen reader reads the words once.
    if (number && !page.contexts) return;
    const words = `${number + 1} of ${TOUR.length}. ${TOUR[number].words(page)}`;
    if (element("tour-words").textContent !== words) element("tour-words").textContent = words;
  }

  leave() {
    if (this.number !== undefined) element(TOUR[this.number].section).classList.remove("toured");
  }

  end() {
    this.leave();
    this.number = undefined;
    element("tour").hidden = true;
    element("tour-start").focus();
  }
}
