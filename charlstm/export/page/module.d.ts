/** A character model trained by charlstm, with its weights. */
export interface Model {
  /**
   * Return the distribution of the next character, the most likely first.
   *
   * null stands for all unknown characters, "\ufdd0" for EOS in a model of documents that are not
   * lines. In a byte model each entry is a byte: ASCII, or written as "\\xe9".
   */
  next(text?: string): [character: string | null, probability: number][];

  /** Return the surprisal of a text, in bits. In a model of lines, "\n" is EOS. */
  bits(text: string): number;

  /** Continue a text, at most to EOS; the text itself is not returned. */
  sample(prime?: string, options?: SampleOptions): string;
}

export interface SampleOptions {
  /** Maximum number of characters or bytes; 1000 by default. */
  length?: number;
  /** 1 by default; 0 always takes the most likely character. */
  temperature?: number;
  /** Only sample from the topK most likely characters; from all by default. */
  topK?: number;
  /** An integer: the same seed gives the same text. */
  seed?: number;
  /** A source of numbers in [0, 1), used without a seed; Math.random by default. */
  random?: () => number;
}

/** Unpack the model. */
export function load(): Model;
