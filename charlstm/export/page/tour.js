// A tour from a letter to the gates: five steps, each at its part of the page.

/** What each step shows: its section, what it does to the page, and what it says. */
const TOUR = [
  {
    section: "reading",
    begin: (page) => {
      page.shadeBy("surprise");
      page.choose(page.text.mostExpensive() + 1);
    },
    words: ({ text, alphabet }) => {
      const place = text.mostExpensive();
      if (place < 0) return "Type a text: each character is shaded by how surprised the model was.";
      return (
        `The model reads one ${alphabet.symbol} at a time and never looks ahead. The stronger the ` +
        `shade, the less it expected what came: most of all ` +
        `\u201c${alphabet.label(text.symbols[place].code)}\u201d, ${text.bits[place].toFixed(1)} bits.`
      );
    },
  },
  {
    section: "next",
    begin: (page) => page.choose(Math.max(0, page.text.leastExpensive())),
    words: ({ text, alphabet, place, next }) => {
      if (!next) return "";
      const [best] = ranked(next.logP, 1);
      const last = place ? alphabet.label(text.symbols[place - 1].code) : "the beginning";
      return (
        `What may follow differs from place to place. Here, after \u201c${last}\u201d, the model gives ` +
        `${alphabet.nameOf(best)} ${share(Math.exp(next.logP[best]))}: the entropy is ` +
        `${entropyBits(next.logP).toFixed(2)} bits. Move through the text and watch the bars.`
      );
    },
  },
  {
    section: "ladder",
    begin: () => {},
    words: ({ rungs, alphabet }) => {
      const bits = rungs?.rungs.map(({ logP }) => entropyBits(logP).toFixed(2)) ?? [];
      if (bits.length < 2) return "Read on to see what context does.";
      return (
        `The last ${alphabet.symbol} alone is not enough. Without any context the entropy would be ` +
        `${bits[0]} bits, with one ${alphabet.symbol} ${bits[1]}, with all of the text ${bits.at(-1)}. ` +
        `The network has to remember what came before.`
      );
    },
  },
  {
    section: "cell",
    begin: () => {},
    words: ({ unit, config }) => {
      if (!unit) return "";
      const memory = {
        lstm: "Each of its units keeps a value, the cell state, from step to step; gates decide what " +
          "enters, what stays and what shows.",
        gru: "Each of its units keeps a value, the hidden state, from step to step; gates decide how " +
          "much is replaced.",
        rnn: "A plain network's unit has one value, computed anew at each step.",
      }[config.cell];
      return `${memory} Step through the text with the two buttons and watch one unit.`;
    },
  },
  {
    section: "inside",
    begin: () => {
      element("maps").open = true;
    },
    words: ({ config }) =>
      `Here are many of the ${config.hiddenSize} units of each layer at once. Rows that stay the same over ` +
      "many columns remember; click one to follow it in the drawing and in the text.",
  },
];

class Tour {
  constructor(page) {
    this.page = page;
    this.number = undefined;
    element("tour-start").addEventListener("click", () => this.go(0));
    element("tour-back").addEventListener("click", () => this.go(this.number - 1));
    element("tour-next").addEventListener("click", () => this.go(this.number + 1));
    element("tour-end").addEventListener("click", () => this.end());
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
    // A step is read aloud, and the next key press can go on.
    element("tour-words").focus({ preventScroll: true });
  }

  draw() {
    if (this.number === undefined) return;
    const words = `${this.number + 1} of ${TOUR.length}. ${TOUR[this.number].words(this.page)}`;
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
