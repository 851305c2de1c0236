// Characters or bytes: how a text becomes numbers, and how they are shown and spoken.

/** What ends a document that isn't a line, shown and written as a line end. */
const DOCUMENT_END = 0xfdd0;

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/** A part of a text inside a sentence, whose direction must not turn the sentence around. */
const isolated = (text) => (RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text);

const quoted = (text) => `\u201c${isolated(text)}\u201d`;

const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

class Alphabet {
  /** @param lineEnd the characters that a line end of a text stands for. */
  constructor({ codes, level, normalize, keepLineEnds, lineEnd = [10] }) {
    this.codes = codes;
    this.level = level;
    this.normalize = normalize;
    this.keepLineEnds = keepLineEnds;
    this.lineEnd = lineEnd;
    this.numbers = new Map(codes.map((code, place) => [code, place + 1]));
    /** What a symbol is called: "character" or "byte". */
    this.symbol = level === "byte" ? "byte" : "character";
  }

  /** A text in the form that the model was trained on. */
  normalized(text) {
    if (this.level === "byte") return text;
    const plain = text.replaceAll(String.fromCodePoint(DOCUMENT_END), "\ufffd");
    const composed = this.normalize === "nfc" ? plain.normalize("NFC") : plain;
    return this.keepLineEnds ? composed : composed.replace(/\r\n?/g, "\n");
  }

  /**
   * The symbols of a text: `code` its character or byte, `number` what the model knows it by, 0
   * for unknown, `end` the position in the text after it.
   */
  symbolsOf(text) {
    const symbols = [];
    let end = 0;
    for (const char of text) {
      end += char.length;
      let codes = char === "\n" ? this.lineEnd : [char.codePointAt(0)];
      if (this.level === "byte" && char !== "\n") codes = new TextEncoder().encode(char);
      for (const code of codes) {
        symbols.push({ code, number: this.numbers.get(code) ?? 0, end });
      }
    }
    return symbols;
  }

  /** A symbol that can be predicted, to be shown. */
  nameOf(number) {
    return number === 0 ? "unknown" : this.label(this.codes[number - 1]);
  }

  /** The same in words, for a screen reader. */
  spokenNameOf(number) {
    return number === 0 ? "unknown" : this.spoken(this.codes[number - 1]);
  }

  spoken(code) {
    const words = { 9: "tab", 10: "line end", 32: "space", [DOCUMENT_END]: "end of the document" };
    return words[code] ?? this.label(code);
  }

  /** Unknown and a document's end are no characters, a byte past ASCII and CR only parts of one. */
  canBeTyped(number) {
    const code = this.codes[number - 1];
    const isPart = code === 13 || code === DOCUMENT_END;
    return number > 0 && !isPart && !(this.level === "byte" && code > 127);
  }

  /** A symbol that can be predicted, for programs: null is unknown, a byte past ASCII is escaped. */
  readable(number) {
    if (number === 0) return null;
    const code = this.codes[number - 1];
    const isPart = this.level === "byte" && code > 127 && code !== DOCUMENT_END;
    return isPart ? `\\x${code.toString(16)}` : String.fromCodePoint(code);
  }

  /** What stands for a character or byte where it would not be seen itself. */
  label(code) {
    const names = { 9: "\u21e5", 10: "\u23ce", 32: "\u2423", [DOCUMENT_END]: "end" };
    if (code in names) return names[code];
    if (code < 32) return String.fromCodePoint(0x2400 + code); // its picture
    const char = String.fromCodePoint(code);
    const isByte = this.level === "byte" && code > 126;
    const isHidden = (code >= 127 && code < 160) || (code >= 0xd800 && code < 0xe000);
    if (isByte || isHidden || /^[\p{Z}\p{C}]$/u.test(char)) {
      const hex = code.toString(16).toUpperCase();
      return isByte ? `x${hex}` : `U+${hex.padStart(4, "0")}`;
    }
    // A combining mark needs something to stand on.
    return /^\p{M}$/u.test(char) ? `\u25cc${char}` : char;
  }

  /** Text of predicted symbols; bytes that are no UTF-8 become U+FFFD. */
  textOf(numbers) {
    const codes = numbers
      .map((number) => this.codes[number - 1])
      .map((code) => (code === DOCUMENT_END ? 10 : code));
    if (this.level === "byte") return new TextDecoder().decode(Uint8Array.from(codes));
    return codes.map((code) => String.fromCodePoint(code)).join("");
  }
}
