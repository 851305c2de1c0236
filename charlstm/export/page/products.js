// Matrix-vector products, nearly all of the arithmetic: with WebAssembly's SIMD instructions, or in
// plain JavaScript (ten times slower) if the browser forbids it.
//
// R rows, C columns, padded to whole blocks of BLOCK columns.

const BLOCK = 16; // columns: four vectors of four floats

/**
 * Encode an integer in LEB128; the ones here are below 2^27 and not negative, or one byte.
 * @param {number} number @returns {number[]}
 */
function leb(number) {
  return number < 64 ? [number & 0x7f] : [(number & 0x7f) | 0x80, ...leb(number >> 7)];
}

/**
 * Compile the module: `product(weights, x, xEnd, out, outEnd)`, all byte addresses. Its instructions
 * are named as in WebAssembly's text format (https://webassembly.github.io/spec/).
 * @typedef {(weights: number, x: number, xEnd: number, out: number, outEnd: number) => void} Product
 */
function productModule() {
  const I32 = 0x7f;
  const V128 = 0x7b;
  const loop = [0x03, 0x40];
  const end = 0x0b;
  const branchIf = [0x0d, 0]; // br_if 0: to the start of the loop
  const isLess = 0x49; // i32.lt_u
  const addFloats = 0x92; // f32.add
  const addVectors = [0xfd, 0xe4, 0x01]; // f32x4.add
  const multiplyVectors = [0xfd, 0xe6, 0x01]; // f32x4.mul
  /** @type {(local: number) => number[]} */
  const get = (local) => [0x20, local];
  /** @type {(local: number) => number[]} */
  const set = (local) => [0x21, local];
  /** @type {(local: number) => number[]} */
  const lane = (number) => [...get(sums[0]), 0xfd, 0x1f, number]; // f32x4.extract_lane
  /** Load a vector from the address in `local`. @type {(local: number, offset: number) => number[]} */
  const load = (local, offset) => [...get(local), 0xfd, 0x00, 2, offset];
  /** @type {(local: number, numBytes: number) => number[]} */
  const advance = (local, numBytes) => [...get(local), 0x41, ...leb(numBytes), 0x6a, ...set(local)];

  const [weights, x, xEnd, out, outEnd, place, ...sums] = [...Array(10).keys()];
  const body = [
    ...loop, // over rows
    ...sums.flatMap((sum) => [0xfd, 0x0c, ...Array(16).fill(0), ...set(sum)]), // v128.const 0
    ...[...get(x), ...set(place)],
    ...loop, // over blocks of columns, each four weights times four of x, added to one of four sums
    ...sums.flatMap((sum, number) => [
      ...[...get(sum), ...load(weights, 16 * number), ...load(place, 16 * number)],
      ...[...multiplyVectors, ...addVectors, ...set(sum)],
    ]),
    ...[...advance(weights, 4 * BLOCK), ...advance(place, 4 * BLOCK)],
    ...[...get(place), ...get(xEnd), isLess, ...branchIf, end],
    ...[...get(sums[0]), ...get(sums[1]), ...addVectors],
    ...[...get(sums[2]), ...get(sums[3]), ...addVectors, ...addVectors, ...set(sums[0])],
    ...[...get(out), ...lane(0), ...lane(1), addFloats, ...lane(2), ...lane(3), addFloats, addFloats],
    ...[0x38, 2, 0], // f32.store
    ...[...advance(out, 4), ...get(out), ...get(outEnd), isLess, ...branchIf, end],
    end,
  ];
  const list = (/** @type {(number | number[])[]} */ items) => [...leb(items.length), ...items.flat()];
  /** @type {(id: number, items: (number | number[])[]) => number[]} */
  const section = (id, items) => [id, ...list(list(items))];
  const name = (/** @type {string} */ text) => list([...new TextEncoder().encode(text)]);
  const code = [...list([[1, I32], [4, V128]]), ...body];
  return new WebAssembly.Module(
    Uint8Array.from([
      ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0], // "\0asm", version 1
      ...section(1, [[0x60, ...list(Array(5).fill(I32)), 0]]), // a type: five in, none out
      ...section(2, [[...name("page"), ...name("memory"), 2, 0, 1]]), // memory comes from outside
      ...section(3, [0]), // a function of the first type,
      ...section(7, [[...name("product"), 0, 0]]), // its name,
      ...section(10, [list(code)]), // and its code
    ]),
  );
}

/**
 * Return the same function in plain JavaScript, on the same kind of memory.
 * @param {{ buffer: ArrayBuffer }} memory @returns {Product}
 */
function plainProduct(memory) {
  const floats = new Float32Array(memory.buffer);
  return (weights, x, xEnd, out, outEnd) => {
    let weight = weights / 4;
    for (let row = out / 4; row < outEnd / 4; row += 1) {
      // Two independent sums use the processor better.
      let [even, odd] = [0, 0];
      for (let column = x / 4; column < xEnd / 4; column += 2) {
        even += floats[weight] * floats[column];
        odd += floats[weight + 1] * floats[column + 1];
        weight += 2;
      }
      floats[row] = even + odd;
    }
  };
}

/** The memory of a model's matrices, and the function that multiplies there. */
class Products {
  /** @param {[number, number][]} shapes of all matrices, [R, C] each. */
  constructor(shapes) {
    const padded = shapes.map(([rows, columns]) => [rows, Math.ceil(columns / BLOCK) * BLOCK]);
    const widest = Math.max(...padded.map(([, columns]) => columns));
    // The input vector, and for each matrix its weights and its product.
    const numFloats = padded.reduce((sum, [rows, columns]) => sum + rows * (columns + 1) + BLOCK, widest);
    const numPages = Math.ceil((4 * numFloats) / 65536);
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
    this.numUsed = 0;
    this.x = this.take(widest);
  }

  /** Allocate floats, aligned to whole vectors. @param {number} length */
  take(length) {
    const array = new Float32Array(this.memory.buffer, this.numUsed, length);
    this.numUsed += Math.ceil(array.byteLength / BLOCK) * BLOCK;
    return array;
  }

  /**
   * Copy a matrix into the memory; its row r is scales[r] * values[r].
   * @param {Int8Array} values @param {Float32Array} scales
   */
  matrix(values, scales) {
    const numColumns = values.length / scales.length;
    const matrix = new Matrix(this, scales.length, numColumns);
    scales.forEach((scale, number) => {
      const row = matrix.row(number);
      const first = number * numColumns;
      for (let column = 0; column < numColumns; column += 1) row[column] = scale * values[first + column];
    });
    return matrix;
  }
}

class Matrix {
  /** @param {Products} products @param {number} numRows @param {number} numColumns */
  constructor(products, numRows, numColumns) {
    this.products = products;
    this.numColumns = numColumns;
    this.width = Math.ceil(numColumns / BLOCK) * BLOCK;
    this.weights = products.take(numRows * this.width);
    this.out = products.take(numRows);
  }

  /** Return the product with a vector [C]: [R], overwritten by the next call. @param {Float32Array} vector */
  times(vector) {
    const { weights, out, width } = this;
    const { x, product } = this.products;
    x.set(vector);
    x.fill(0, vector.length, width);
    product(
      weights.byteOffset,
      x.byteOffset,
      x.byteOffset + 4 * width,
      out.byteOffset,
      out.byteOffset + out.byteLength,
    );
    return out;
  }

  /** Return one row, [C]. @param {number} number */
  row(number) {
    return this.weights.subarray(number * this.width, number * this.width + this.numColumns);
  }
}
