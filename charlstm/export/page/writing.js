// Samples that continue the text from the caret, and can be inserted into it.

const SAMPLE_LENGTH = 500;

class Writing {
  constructor(page) {
    this.page = page;
    this.id = 0; // of the last sample requested
    this.prefix = undefined; // the text that it continues
    /** @type {any} */
    this.answer = undefined; // the worker's latest answer
    this.draw = this.draw.bind(this);
    on("start", "click", () => this.start());
    on("stop", "click", () => {
      page.tell("stop");
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
    this.id += 1;
    const { chosen, text } = page;
    this.prefix = page.field.value.slice(0, page.endOf(chosen));
    const start = page.endOf(chosen - text.documentBefore(chosen, page.config.end).length);
    this.context = this.prefix.slice(start).slice(-40);
    this.answer = { symbols: [], isDone: false };
    page.hover(undefined);
    page.tell("write", {
      id: this.id,
      temperature: page.temperature,
      seed: Number(element("seed").value),
      length: SAMPLE_LENGTH,
    });
    // Without waiting for the next frame, until which the last sample would be shown as this one.
    this.draw();
  }

  draw() {
    if (!this.answer) return;
    const { symbols, isDone } = this.answer;
    const { alphabet, field } = this.page;
    const isHere = field.value.startsWith(this.prefix);
    const before = make("span", { class: "hint" }, this.context);
    element("written").replaceChildren(before, alphabet.textOf(symbols));
    element("stop").disabled = isDone;
    element("keep").disabled = !symbols.length || !isHere;
    const words = isDone ? "written" : "written so far";
    const gone = isHere ? "" : "; the text before them has changed since";
    element("sample-status").textContent = `${symbols.length} ${alphabet.symbol}s ${words}${gone}`;
  }

  /** Insert the sample after its prefix. */
  keep() {
    const { page, prefix } = this;
    const { field, alphabet, config } = page;
    const { symbols } = this.answer;
    // EOS can't be put into the field; insert the text before it.
    const end = alphabet.canBeTyped(config.end) ? -1 : symbols.indexOf(config.end);
    const text = alphabet.textOf(end < 0 ? symbols : symbols.slice(0, end));
    if (field.value.length >= field.maxLength) {
      page.insert(text, prefix.length, prefix.length); // shows that the field is full
      return;
    }
    page.tell("stop");
    this.id += 1; // so that late answers are ignored
    this.answer = undefined;
    page.insert(text, prefix.length, prefix.length);
    element("written").replaceChildren();
    element("sample-status").textContent = "";
    element("keep").disabled = element("stop").disabled = true;
    page.field.focus();
  }
}
