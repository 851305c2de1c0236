/** A character model that was trained by charlstm; its weights are part of the module. */
export interface Model {
  /**
   * The distribution of the character after a text, the most likely first.
   *
   * null stands for all characters that the model doesn't know, "\ufdd0" for a document's end that is
   * not a line's. In a byte model each entry is a byte: ASCII, or written as "\\xe9".
   */
  next(text?: string): [character: string | null, probability: number][];

  /** What a text costs, in bits. In a model of lines, a final "\n" costs what ending there costs. */
  bits(text: string): number;

  /** Continue a text, to the end of its document at most; the text itself is not returned. */
  sample(prime?: string, options?: SampleOptions): string;
}

export interface SampleOptions {
  /** At most so many characters, or bytes; 1000 by default. */
  length?: number;
  /** 1 by default; 0 always takes the most likely character. */
  temperature?: number;
  /** Draw from so many of the most likely characters; from all by default. */
  topK?: number;
  /** A whole number: the same one gives the same text. */
  seed?: number;
  /** Numbers from 0 to 1, used where there is no seed; Math.random by default. */
  random?: () => number;
}

/** Unpack the model. */
export function load(): Model;
