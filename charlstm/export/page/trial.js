// Change a character, to see how far the model remembers it, and change it back.

const isLetter = (code) => /^\p{L}$/u.test(String.fromCodePoint(code));

class Trial {
  constructor(page) {
    this.page = page;
    this.before = undefined; // the text before the change, and the place of the change
    on("change", "click", () => this.change());
    on("undo", "click", () => this.undo());
  }

  change() {
    const { page } = this;
    const { text, alphabet } = page;
    const place = this.placeToChange();
    const old = text.symbols[place];
    const other = old && this.otherThan(old);
    if (other === undefined) {
      element("notice").textContent = "There is nothing here to change into something else.";
      return;
    }
    // After several changes, undo restores the first text.
    const before = this.before ?? { value: page.field.value, place };
    page.insert(alphabet.textOf([other]), place ? text.symbols[place - 1].end : 0, old.end);
    page.choose(place + 1);
    page.shadeBy("surprisal");
    this.before = before;
    element("undo").disabled = false;
  }

  /** Return the position of a letter at or after the caret, or after a third of the text. */
  placeToChange() {
    const { text, chosen } = this.page;
    const { symbols } = text;
    const from = chosen && chosen < symbols.length ? chosen - 1 : Math.floor(symbols.length / 3);
    const found = symbols.slice(from).findIndex(({ number, code }) => number && isLetter(code));
    return found < 0 ? from : from + found;
  }

  /** Return the id of another letter, or of another symbol if there is no letter. */
  otherThan(old) {
    const { config, alphabet } = this.page;
    const others = config.codes
      .map((code, place) => ({ code, number: place + 1 }))
      .filter(({ code, number }) => code !== old.code && alphabet.canBeTyped(number));
    const letters = others.filter(({ code }) => isLetter(code));
    return (letters.length ? letters : others).at(-1)?.number;
  }

  undo() {
    const { page } = this;
    const { value, place } = this.before;
    page.insert(value, 0, page.field.value.length);
    page.choose(place + 1);
    element("change").focus();
  }

  /** Forget the earlier text, after another edit. */
  forget() {
    this.before = undefined;
    element("undo").disabled = true;
  }
}
