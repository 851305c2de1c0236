/** The data that Python puts into a page or a module, and that their scripts exchange. */

type Cell = "lstm" | "gru" | "rnn";

/** Python's `CellSpec`. */
interface CellSpec {
  blocks: string[];
  drawn: string[];
  gates: string[];
  names: string[];
  hasCellState: boolean;
  recurrentGates: Record<string, string>;
  meanings: Record<string, string>;
}

interface Coding {
  codes: number[];
  level: "char" | "byte";
  normalize: string;
  keepLineEnds: boolean;
  lineEnd?: number[];
}

interface Config extends Coding {
  cell: Cell;
  spec: CellSpec;
  numLayers: number;
  hiddenSize: number;
  boundary: number;
  end: number | null;
  unknownProbability: number;
  shapes: Record<string, [rows: number, columns: number]>;
}

/** A character or byte of a text: its character, code and id (0: unknown), where it ends in the text. */
interface TextSymbol {
  char: string;
  code: number;
  number: number;
  end: number;
}

type Vector = Float32Array | Float64Array;

interface GateStep {
  name: string;
  input: number;
  hidden: number;
  bias: number;
  preActivation: number;
  value: number;
}

interface UnitStep {
  gates: GateStep[];
  hiddenBefore: number;
  hidden: number;
  cellBefore?: number;
  cell?: number;
}

interface SamplerOptions {
  unread: number[];
  temperature: number;
  topK?: number;
  random: () => number;
}

/** The configuration of a page, with its initial content. */
interface PageConfig extends Config {
  text: string;
  units: number[][];
  tracked: { feature: string; layer: number; unit: number; words: string }[];
}

/** Constants at the start of a module. */
declare const CONFIG: Config;
declare const WEIGHTS: string;
