// The prediction of a layer from the one below, at any ratio: docs/reference/format.md, "From symbols to pixels".

import { log } from "./elementary";
import { Blocks, Linear } from "./features";
import type { Kernels, Pointer } from "./kernels";
import type { Tensor, Weights } from "./model";
import { toFloats, type View } from "./picture";
import { around, sizeOf, type Size, type Window } from "./window";

const MARGIN = 16; // pixels beyond which nothing matters to a coefficient
const COLOURS = 4; // floats of a pixel, the last unused

/** Where the pixels of a larger image lie on one axis of the smaller one. */
class Axis {
  readonly nearest: Int32Array;
  readonly phase: Float32Array;
  readonly cubicIndex: Int32Array;
  readonly cubicWeight: Float32Array;

  constructor(private readonly size: number, out: number, from: number, to: number) {
    const count = to - from;
    this.nearest = new Int32Array(count);
    this.phase = new Float32Array(count);
    this.cubicIndex = new Int32Array(4 * count);
    this.cubicWeight = new Float32Array(4 * count);
    for (let i = 0; i < count; i++) {
      const u = (from + i + 0.5) * (size / out) - 0.5;
      this.nearest[i] = this.within(Math.floor(u + 0.5));
      this.phase[i] = u - this.nearest[i]!;
      const first = Math.floor(u) - 1;
      const weights = [0, 1, 2, 3].map((k) => keys(Math.abs(u - first - k)));
      const sum = weights.reduce((total, weight) => total + weight, 0);
      weights.forEach((weight, k) => {
        this.cubicIndex[4 * i + k] = this.within(first + k);
        this.cubicWeight[4 * i + k] = weight / sum;
      });
    }
  }

  /** The input position, brought within the image. */
  within(position: number): number {
    return Math.max(0, Math.min(this.size - 1, position));
  }

  /** Input positions that are seen, from the first to behind the last. */
  get seen(): [number, number] {
    const [first, last] = [Math.min(this.cubicIndex[0]!, this.nearest[0]! - 1), Math.max(this.cubicIndex.at(-1)!, this.nearest.at(-1)! + 1)];
    return [this.within(first), this.within(last) + 1];
  }
}

/** Keys' cubic kernel with a = -1/2. */
function keys(x: number): number {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

export class Predictor {
  private readonly rank: number;
  private readonly enter: Linear;
  private readonly blocks: Blocks;
  private readonly leave: Linear;
  private readonly axisLayers: [Tensor, Tensor][];

  constructor(
    private readonly kernels: Kernels,
    weights: Weights,
  ) {
    const taps = weights.get("predictor.taps.weight");
    this.rank = taps.shape[0]! / 3;
    this.enter = new Linear(kernels, weights, "predictor.enter");
    this.blocks = new Blocks(kernels, weights, "predictor.blocks", this.enter.outputs);
    // From ((i r + j) 3 + colour) 4 + 2 a + b to (2 a + b, i, j, colour), with an unused fourth colour.
    const order: number[] = [];
    for (let pixel = 0; pixel < 4; pixel++) {
      for (let ij = 0; ij < this.rank ** 2; ij++) {
        for (let colour = 0; colour < COLOURS; colour++) order.push(colour < 3 ? (ij * 3 + colour) * 4 + pixel : -1);
      }
    }
    this.leave = new Linear(kernels, weights, "predictor.leave", { order });
    this.axisLayers = ["axis.0", "axis.2", "taps"].map((name) => [
      weights.get(`predictor.${name}.weight`),
      weights.get(`predictor.${name}.bias`),
    ]);
  }

  /** What of the layer below, of size `lower`, a window of the prediction of an image of `size` depends on. */
  static sees(window: Window, size: Size, lower: Size): Window {
    const [top, bottom] = new Axis(lower.height, size.height, window.top, window.bottom).seen;
    const [left, right] = new Axis(lower.width, size.width, window.left, window.right).seen;
    return around({ top, left, bottom, right }, MARGIN, 2, lower);
  }

  /** A window of the prediction of an image of `size`, floats from 0 to 1, four a pixel: allocated. lower: what it `sees`. */
  run(lower: View, size: Size, window: Window): Pointer {
    const { kernels, rank } = this;
    const { height, width } = sizeOf(window);
    const out = kernels.allocate(16 * height * width);
    kernels.scratch(() => {
      const rows = new Axis(lower.size.height, size.height, window.top, window.bottom);
      const columns = new Axis(lower.size.width, size.width, window.left, window.right);
      const field = lower.window;
      const image = toFloats(kernels, lower.pixels);
      const { width: inputs, height: inputRows } = sizeOf(field);
      const coefficients = this.coefficients(image, inputRows, inputs);
      const rowTaps = this.taps(rows, log(size.height / lower.size.height));
      const columnTaps = kernels.putFloats(this.taps(columns, log(size.width / lower.size.width)));
      const cubicColumns = kernels.allocate(16 * width);
      kernels.i32(cubicColumns, 4 * width).set(columns.cubicIndex.map((n) => n - field.left));
      const nearColumns = kernels.allocate(12 * width);
      const near = kernels.i32(nearColumns, 3 * width);
      columns.nearest.forEach((n, x) => [-1, 0, 1].forEach((t, k) => (near[3 * x + k] = columns.within(n + t) - field.left)));
      const cubicWeights = kernels.putFloats(columns.cubicWeight);
      const mixedImage = kernels.allocate(16 * inputs);
      const rowOfCoefficients = 4 * inputs * rank * COLOURS; // bytes, of one i
      const mixed = kernels.allocate(rowOfCoefficients);
      const pointers = kernels.allocate(4 * 3 * rank);
      const factors = kernels.allocate(4 * 3 * rank);
      for (let y = 0; y < height; y++) {
        const mix = (from: number[], taps: ArrayLike<number>, length: number, to: Pointer) => {
          kernels.u32(pointers, from.length).set(from);
          kernels.f32(factors, from.length).set(taps);
          kernels.run.mixRows!(pointers, factors, from.length, length, to);
        };
        const cubic = [0, 1, 2, 3].map((k) => image + 16 * inputs * (rows.cubicIndex[4 * y + k]! - field.top));
        mix(cubic, rows.cubicWeight.subarray(4 * y, 4 * y + 4), 4 * inputs, mixedImage);
        const taken: number[] = [];
        for (const t of [-1, 0, 1]) {
          const row = rows.within(rows.nearest[y]! + t) - field.top;
          for (let i = 0; i < rank; i++) taken.push(coefficients + (row * rank + i) * rowOfCoefficients);
        }
        mix(taken, rowTaps.subarray(3 * rank * y, 3 * rank * (y + 1)), rowOfCoefficients / 4, mixed);
        kernels.run.mixColumns!(
          mixedImage, mixed, rank, cubicColumns, cubicWeights, nearColumns, columnTaps, out + 16 * width * y, width,
        );
      }
    });
    return out;
  }

  /** K of an image [height][width][4], as [row][i][column][j][4]: allocated. */
  private coefficients(image: Pointer, height: number, width: number): Pointer {
    const { kernels, rank } = this;
    const [rows, columns] = [Math.ceil(height / 2), Math.ceil(width / 2)];
    const count = rows * columns;
    const line = 4 * rank * COLOURS; // bytes of all j of a pixel
    const out = kernels.allocate(2 * rows * rank * width * line);
    const packed = kernels.allocate(4 * count * this.leave.outputs);
    kernels.scratch(() => {
      const features = kernels.allocate(4 * count * this.enter.outputs);
      kernels.scratch(() => {
        const cells = kernels.allocate(4 * count * 12);
        kernels.run.toCells!(image, height, width, 2, cells, rows, columns, 48);
        const seen = kernels.allocate(4 * count * this.enter.inputs);
        kernels.run.neighbourhoods!(cells, seen, rows, columns, 12);
        this.enter.run(seen, count, features);
      });
      this.blocks.run(features, rows, columns);
      this.leave.run(features, count, packed);
    });
    kernels.run.spreadCoefficients!(packed, rows, columns, width, rank, out);
    return out;
  }

  /** a of the positions of an axis, [n][3][rank]. */
  private taps(axis: Axis, logRatio: number): Float32Array {
    const found = new Map<number, Float32Array>(); // most ratios have few phases
    const taps = new Float32Array(axis.phase.length * 3 * this.rank);
    axis.phase.forEach((phase, n) => {
      let own = found.get(phase);
      if (!own) found.set(phase, (own = this.tapsOf(phase, logRatio)));
      taps.set(own, 3 * this.rank * n);
    });
    return taps;
  }

  private tapsOf(phase: number, logRatio: number): Float32Array {
    let values = Float32Array.of(phase, logRatio);
    this.axisLayers.forEach(([weight, bias], k) => {
      const [outputs, inputs] = weight.shape as [number, number];
      const next = Float32Array.from({ length: outputs }, (_, o) => {
        let sum = bias.values[o]!;
        for (let i = 0; i < inputs; i++) sum += weight.values[o * inputs + i]! * values[i]!;
        return k < this.axisLayers.length - 1 ? Math.max(0, sum) : sum;
      });
      values = next;
    });
    return values;
  }
}
