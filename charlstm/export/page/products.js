// Matrix-vector products of 8-bit matrices, nearly all of the arithmetic: with WebAssembly's SIMD
// instructions, or in plain JavaScript (ten times slower) if the browser forbids it.
//
// R rows, C columns, padded to whole blocks of BLOCK columns.

const BLOCK = 16; // columns: one vector of 8-bit integers

/**
 * Opcodes of WebAssembly, by the names of its text format (https://webassembly.github.io/spec/).
 * @type {Record<string, number[]>}
 */
const OPCODES = {
  loop: [0x03, 0x40],
  end: [0x0b],
  br_if_0: [0x0d, 0],
  "i32.lt_u": [0x49],
  "i32.add": [0x6a],
  "f32.load": [0x2a, 2, 0],
  "f32.store": [0x38, 2, 0],
  "f32.add": [0x92],
  "f32.mul": [0x94],
  "i8x16.load": [0xfd, 0x00, 0, 0],
  "f32x4.zero": [0xfd, 0x0c, ...Array(16).fill(0)],
  "f32x4.add": [0xfd, 0xe4, 0x01],
  "f32x4.mul": [0xfd, 0xe6, 0x01],
  "i16x8.extend_low": [0xfd, 0x87, 0x01],
  "i16x8.extend_high": [0xfd, 0x88, 0x01],
  "i32x4.extend_low": [0xfd, 0xa7, 0x01],
  "i32x4.extend_high": [0xfd, 0xa8, 0x01],
  "f32x4.convert": [0xfd, 0xfa, 0x01],
};
const TYPES = { i32: 0x7f, v128: 0x7b };

/**
 * Encode an integer in LEB128; the ones here are below 2^27 and not negative, or one byte.
 * @param {number} number @returns {number[]}
 */
function leb(number) {
  return number < 64 ? [number & 0x7f] : [(number & 0x7f) | 0x80, ...leb(number >> 7)];
}

/**
 * Assemble instructions, which are names or [name, argument], into bytes.
 * @typedef {string | (string | number)[]} Instruction
 * @param {Instruction[]} instructions
 */
function assemble(instructions) {
  /** @type {Record<string, (argument: number) => number[]>} */
  const withArgument = {
    get: (local) => [0x20, local],
    set: (local) => [0x21, local],
    tee: (local) => [0x22, local],
    "i32.const": (value) => [0x41, ...leb(value)],
    "f32x4.load": (offset) => [0xfd, 0x00, 2, offset],
    "f32x4.lane": (lane) => [0xfd, 0x1f, lane],
  };
  return instructions.flatMap((one) =>
    Array.isArray(one) ? withArgument[one[0]](Number(one[1])) : OPCODES[one],
  );
}

/**
 * Compile the module: `product(weights, scales, x, xEnd, out, outEnd)`, all byte addresses.
 * @typedef {(weights: number, scales: number, x: number, xEnd: number, out: number, outEnd: number)
 *   => void} Product
 */
function productModule() {
  const [weights, scales, x, xEnd, out, outEnd, place, block, ...sums] = [...Array(12).keys()];
  /** @type {(local: number, numBytes: number) => Instruction[]} */
  const advance = (local, numBytes) => [["get", local], ["i32.const", numBytes], "i32.add"];
  // A quarter of a block: four integers become floats, times four of x, to one of four sums.
  /** @type {(sum: number, halves: string[], number: number) => Instruction[]} */
  const quarter = (sum, [half, part], number) => [
    ["get", sum],
    ...[["get", block], `i16x8.extend_${half}`, `i32x4.extend_${part}`, "f32x4.convert"],
    ...[["get", place], ["f32x4.load", 16 * number], "f32x4.mul", "f32x4.add"],
    ["set", sum],
  ];
  const quarters = [["low", "low"], ["low", "high"], ["high", "low"], ["high", "high"]];
  const [sum] = sums;
  /** @type {Instruction[]} */
  const body = [
    "loop", // over rows
    ...sums.flatMap((one) => ["f32x4.zero", ["set", one]]),
    ...[["get", x], ["set", place]],
    "loop", // over blocks of columns
    ...[["get", weights], "i8x16.load", ["set", block]],
    ...sums.flatMap((one, number) => quarter(one, quarters[number], number)),
    ...[...advance(weights, BLOCK), ["set", weights]],
    ...[...advance(place, 4 * BLOCK), ["tee", place], ["get", xEnd], "i32.lt_u", "br_if_0"],
    "end",
    ...[["get", sums[0]], ["get", sums[1]], "f32x4.add"],
    ...[["get", sums[2]], ["get", sums[3]], "f32x4.add", "f32x4.add", ["set", sum]],
    ["get", out],
    ...[["get", sum], ["f32x4.lane", 0], ["get", sum], ["f32x4.lane", 1], "f32.add"],
    ...[["get", sum], ["f32x4.lane", 2], ["get", sum], ["f32x4.lane", 3], "f32.add", "f32.add"],
    ...[["get", scales], "f32.load", "f32.mul", "f32.store"],
    ...[...advance(scales, 4), ["set", scales]],
    ...[...advance(out, 4), ["tee", out], ["get", outEnd], "i32.lt_u", "br_if_0"],
    "end",
    "end",
  ];
  const list = (/** @type {(number | number[])[]} */ items) => [...leb(items.length), ...items.flat()];
  /** @type {(id: number, items: (number | number[])[]) => number[]} */
  const section = (id, items) => {
    const bytes = list(items);
    return [id, ...leb(bytes.length), ...bytes];
  };
  const name = (/** @type {string} */ text) => list([...new TextEncoder().encode(text)]);
  const locals = list([[1, TYPES.i32], [5, TYPES.v128]]);
  const code = [...locals, ...assemble(body)];
  return new WebAssembly.Module(
    Uint8Array.from([
      ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // "\0asm", version 1
      ...section(1, [[0x60, ...list(Array(6).fill(TYPES.i32)), 0]]), // a type: six in, none out
      ...section(2, [[...name("page"), ...name("memory"), 2, 0, 1]]), // memory comes from outside
      ...section(3, [0]), // a function of the first type,
      ...section(7, [[...name("product"), 0, 0]]), // its name,
      ...section(10, [[...leb(code.length), ...code]]), // and its code
    ]),
  );
}

/**
 * Return the same function in plain JavaScript, on the same kind of memory.
 * @param {{ buffer: ArrayBuffer }} memory @returns {Product}
 */
function plainProduct(memory) {
  return (weights, scales, x, xEnd, out, outEnd) => {
    const integers = new Int8Array(memory.buffer);
    const floats = new Float32Array(memory.buffer);
    const numColumns = (xEnd - x) / 4;
    for (let row = 0; out + 4 * row < outEnd; row += 1) {
      const first = weights + row * numColumns;
      // Two independent sums use the processor better.
      let even = 0;
      let odd = 0;
      for (let column = 0; column < numColumns; column += 2) {
        even += integers[first + column] * floats[x / 4 + column];
        odd += integers[first + column + 1] * floats[x / 4 + column + 1];
      }
      floats[out / 4 + row] = floats[scales / 4 + row] * (even + odd);
    }
  };
}

/** The memory of a model's matrices, and the function that multiplies there. */
class Products {
  /** @param {[number, number][]} shapes of all matrices, [R, C] each. */
  constructor(shapes) {
    const padded = shapes.map(([rows, columns]) => [rows, Math.ceil(columns / BLOCK) * BLOCK]);
    const widest = Math.max(...padded.map(([, columns]) => columns));
    // The input vector, and for each matrix its weights, scales and product.
    const numBytes = padded.reduce(
      (sum, [rows, columns]) => sum + rows * columns + 8 * rows + 2 * BLOCK,
      4 * widest,
    );
    const numPages = Math.ceil(numBytes / 65536);
    /** @type {{ buffer: ArrayBuffer }} */
    this.memory = { buffer: new ArrayBuffer(0) };
    /** @type {Product} */
    this.product = () => {};
    try {
      const memory = new WebAssembly.Memory({ initial: numPages });
      const instance = new WebAssembly.Instance(productModule(), { page: { memory } });
      this.memory = memory;
      this.product = /** @type {Product} */ (instance.exports.product);
    } catch {
      this.memory = { buffer: new ArrayBuffer(65536 * numPages) };
      this.product = plainProduct(this.memory);
    }
    this.x = new Float32Array(this.memory.buffer, 0, widest);
    this.numUsed = this.x.byteLength;
  }

  /**
   * @template {Int8Array | Float32Array} T
   * @param {new (buffer: ArrayBuffer, offset: number, length: number) => T} Type
   * @param {number} length
   */
  take(Type, length) {
    const array = new Type(this.memory.buffer, this.numUsed, length);
    this.numUsed += Math.ceil(array.byteLength / BLOCK) * BLOCK;
    return array;
  }

  /**
   * Copy a matrix into the memory; its row r is scales[r] * values[r].
   * @param {Int8Array} values @param {Float32Array} scales
   */
  matrix(values, scales) {
    const numColumns = values.length / scales.length;
    const width = Math.ceil(numColumns / BLOCK) * BLOCK;
    const weights = this.take(Int8Array, width * scales.length);
    for (let row = 0; row < scales.length; row += 1) {
      weights.set(values.subarray(row * numColumns, (row + 1) * numColumns), row * width);
    }
    const ownScales = this.take(Float32Array, scales.length);
    ownScales.set(scales);
    return new Matrix(this, { weights, scales: ownScales, numColumns, width });
  }
}

class Matrix {
  /**
   * @param {Products} products
   * @param {{ weights: Int8Array, scales: Float32Array, numColumns: number, width: number }} rows
   */
  constructor(products, { weights, scales, numColumns, width }) {
    this.products = products;
    this.weights = weights;
    this.scales = scales;
    this.numColumns = numColumns;
    this.width = width;
    this.out = products.take(Float32Array, scales.length);
  }

  /** Return the product with a vector [C]: [R], overwritten by the next call. @param {Float32Array} vector */
  times(vector) {
    const { weights, scales, out, width } = this;
    const { x, product } = this.products;
    x.set(vector);
    x.fill(0, vector.length, width);
    product(
      weights.byteOffset,
      scales.byteOffset,
      x.byteOffset,
      x.byteOffset + 4 * width,
      out.byteOffset,
      out.byteOffset + out.byteLength,
    );
    return out;
  }

  /** Return one row as numbers [C]. @param {number} number */
  row(number) {
    const first = number * this.width;
    const scale = this.scales[number];
    return Float32Array.from(
      this.weights.subarray(first, first + this.numColumns),
      (value) => scale * value,
    );
  }
}
