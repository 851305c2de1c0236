// The vocabulary of characters or bytes: encoding of texts, decoding, visible and spoken labels.

/** EOS of documents that are not lines; shown and written as a line end. */
const DOCUMENT_END = 0xfdd0;

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * Isolate a right-to-left part, so that the direction of the sentence around it doesn't change.
 * @param {string} text
 */
const isolated = (text) => (RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text);

/** @param {string} text */
const quoted = (text) => `\u201c${isolated(text)}\u201d`;

/** @param {number} number @param {string} noun */
const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** @param {string} char */
const codeOf = (char) => /** @type {number} */ (char.codePointAt(0));

class Alphabet {
  /** @param {Coding} coding `lineEnd`: the codes of a line end, as the model's text has it. */
  constructor({ codes, level, normalize, keepLineEnds, lineEnd = [10] }) {
    this.codes = codes;
    this.level = level;
    this.normalize = normalize;
    this.keepLineEnds = keepLineEnds;
    this.lineEnd = lineEnd;
    this.numbers = new Map(codes.map((code, place) => /** @type {const} */ ([code, place + 1])));
    /** The noun for a symbol: "character" or "byte". */
    this.symbol = level === "byte" ? "byte" : "character";
  }

  /** Return whether a character is encoded as several bytes. @param {string} char */
  isByte(char) {
    return this.level === "byte" && codeOf(char) > 127;
  }

  /** Return a text in the form that the model was trained on. @param {string} text */
  normalized(text) {
    if (this.level === "byte") return text;
    const plain = text.replaceAll(String.fromCodePoint(DOCUMENT_END), "\ufffd");
    const composed = this.normalize === "nfc" ? plain.normalize("NFC") : plain;
    return this.keepLineEnds ? composed : composed.replace(/\r\n?/g, "\n");
  }

  /** @param {string} text @returns {TextSymbol[]} */
  symbolsOf(text) {
    const symbols = [];
    let end = 0;
    for (const char of text) {
      end += char.length;
      let codes = char === "\n" ? this.lineEnd : [codeOf(char)];
      if (this.level === "byte" && char !== "\n") codes = [...new TextEncoder().encode(char)];
      for (const code of codes) {
        symbols.push({ char, code, number: this.numbers.get(code) ?? 0, end });
      }
    }
    return symbols;
  }

  /** Return a prediction's label. @param {number} number */
  nameOf(number) {
    return number === 0 ? "unknown" : this.label(this.codes[number - 1]);
  }

  /** Return a prediction's label in words, for screen readers. @param {number} number */
  spokenNameOf(number) {
    /** @type {Record<number, string>} */
    const words = { 9: "tab", 10: "line end", 32: "space", [DOCUMENT_END]: "end of the document" };
    return words[this.codes[number - 1]] ?? this.nameOf(number);
  }

  /**
   * Return whether a prediction can be inserted by itself; EOS and parts of a character can't.
   * @param {number} number
   */
  canBeTyped(number) {
    const code = this.codes[number - 1];
    // In a text with CR LF line ends, each of the two inserts both.
    const isPart = (code === 13 && this.lineEnd[0] !== 13) || code === DOCUMENT_END;
    return number > 0 && !isPart && !(this.level === "byte" && code > 127);
  }

  /**
   * Return a prediction for programs: null for unknown; non-ASCII bytes are escaped.
   * @param {number} number
   */
  readable(number) {
    if (number === 0) return null;
    const code = this.codes[number - 1];
    const isPart = this.level === "byte" && code > 127 && code !== DOCUMENT_END;
    return isPart ? `\\x${code.toString(16)}` : String.fromCodePoint(code);
  }

  /** Return a visible label for a character or byte. @param {number} code */
  label(code) {
    /** @type {Record<number, string>} */
    const names = { 9: "\u21e5", 10: "\u23ce", 32: "\u2423", [DOCUMENT_END]: "end" };
    if (code in names) return names[code];
    if (code < 32) return String.fromCodePoint(0x2400 + code); // its control picture
    const char = String.fromCodePoint(code);
    const isByte = this.level === "byte" && code > 126;
    const isHidden = (code >= 127 && code < 160) || (code >= 0xd800 && code < 0xe000);
    if (isByte || isHidden || /^[\p{Z}\p{C}]$/u.test(char)) {
      const hex = code.toString(16).toUpperCase();
      return isByte ? `x${hex}` : `U+${hex.padStart(4, "0")}`;
    }
    // A combining mark needs a base.
    return /^\p{M}$/u.test(char) ? `\u25cc${char}` : char;
  }

  /** Decode predictions; bytes that are not UTF-8 become U+FFFD. @param {number[]} numbers */
  textOf(numbers) {
    const codes = numbers
      .map((number) => this.codes[number - 1])
      .map((code) => (code === DOCUMENT_END ? 10 : code));
    if (this.level === "byte") return new TextDecoder().decode(Uint8Array.from(codes));
    return codes.map((code) => String.fromCodePoint(code)).join("");
  }
}
