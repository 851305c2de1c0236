// Samples that continue the text from the caret, and can be inserted into it.

const SAMPLE_LENGTH = 500;

class Writing {
  constructor(page) {
    this.page = page;
    /** @type {any} */
    this.sample = undefined; // `prefix` is the text that it continues, `drawn` the source of its symbols
    this.draw = this.draw.bind(this);
    on("start", "click", () => this.start());
    on("stop", "click", () => {
      this.sample.isDone = true;
      this.draw();
      element("start").focus();
    });
    on("keep", "click", () => this.keep());
    on("seed", "change", () => {
      const { value, min, max } = element("seed");
      element("seed").value = Math.min(max, Math.max(min, Math.round(Number(value))));
    });
  }

  start() {
    const { page } = this;
    const { chosen, text, temperature } = page;
    const prefix = page.field.value.slice(0, page.endOf(chosen));
    const start = page.endOf(chosen - text.documentBefore(chosen).length);
    // The sample continues this text, even if it isn't read yet and is changed meanwhile.
    const numRead = Math.min(chosen, text.bits.length);
    const unread = text.symbols.slice(numRead, chosen).map(({ number }) => number);
    const random = randomNumbers(Number(element("seed").value));
    const drawn = drawnSymbols(page.stack, text.states[numRead], { unread, temperature, random });
    this.sample = { prefix, context: prefix.slice(start).slice(-40), drawn, symbols: [], isDone: false };
    page.hover(undefined);
    // Without waiting for the next frame, until which the last sample would be shown as this one.
    this.draw();
    page.wake();
  }

  /** Draw one more symbol; return whether there was one to draw. */
  advance() {
    const { sample } = this;
    if (!sample || sample.isDone) return false;
    const { value } = sample.drawn.next();
    if (value !== undefined) sample.symbols.push(value);
    sample.isDone = sample.symbols.length === SAMPLE_LENGTH;
    this.page.show(this.draw);
    return true;
  }

  draw() {
    if (!this.sample) return;
    const { prefix, context, symbols, isDone } = this.sample;
    const { alphabet, field } = this.page;
    const isHere = field.value.startsWith(prefix);
    const before = make("span", { class: "hint" }, context);
    element("written").replaceChildren(before, alphabet.textOf(symbols));
    element("stop").disabled = isDone;
    element("keep").disabled = !symbols.length || !isHere;
    const words = isDone ? "written" : "written so far";
    const gone = isHere ? "" : "; the text before them has changed since";
    element("sample-status").textContent = `${symbols.length} ${alphabet.symbol}s ${words}${gone}`;
  }

  /** Insert the sample after its prefix. */
  keep() {
    const { page } = this;
    const { prefix, symbols } = this.sample;
    const { field, alphabet, config } = page;
    // EOS can't be put into the field; insert the text before it.
    const end = alphabet.canBeTyped(config.end) ? -1 : symbols.indexOf(config.end);
    const text = alphabet.textOf(end < 0 ? symbols : symbols.slice(0, end));
    if (field.value.length >= field.maxLength) {
      page.insert(text, prefix.length, prefix.length); // shows that the field is full
      return;
    }
    this.sample = undefined;
    page.insert(text, prefix.length, prefix.length);
    element("written").replaceChildren();
    element("sample-status").textContent = "";
    element("keep").disabled = element("stop").disabled = true;
    page.field.focus();
  }
}
