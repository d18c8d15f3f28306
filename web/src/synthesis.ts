// From the latent y of a part of a layer to its pixels.

import { Blocks, Linear } from "./features";
import type { Kernels, Pointer } from "./kernels";
import type { Weights } from "./model";
import type { Pixels } from "./picture";
import { sizeOf, type Window } from "./window";

const SIDE = 8; // pixels a side of a position of the features; half a position of y

/** What is added to the output: an image [height][width][4] of floats. */
export interface Prediction {
  at: Pointer;
  window: Window;
}

export class Synthesis {
  private readonly enter: Linear[];
  private readonly condition: Linear | null;
  private readonly blocks: Blocks;
  private readonly leave: Linear;
  private readonly channels: number;

  constructor(
    private readonly kernels: Kernels,
    weights: Weights,
  ) {
    this.channels = weights.get("synthesis.enter.0.weight").shape[0]! / 4;
    const all = Array.from({ length: this.channels }, (_, c) => c);
    this.enter = [0, 1, 2, 3].map((place) => new Linear(kernels, weights, "synthesis.enter.0", { order: all.map((c) => 4 * c + place) }));
    const conditional = weights.find("synthesis.condition.view.weight") !== undefined;
    this.condition = conditional ? new Linear(kernels, weights, "synthesis.condition.view", { cells: true }) : null;
    this.blocks = new Blocks(kernels, weights, "synthesis.blocks", this.channels);
    this.leave = new Linear(kernels, weights, "synthesis.leave.0");
  }

  /**
   * The pixels of a window `written` of a layer.
   *
   * values: y [positions][channels] of `cells`, in positions, which hold `written` and a margin; prediction: of all the pixels of these
   * cells that the layer has.
   */
  run(values: Float32Array, cells: Window, prediction: Prediction | null, written: Window, grey: boolean): Pixels {
    const { kernels, channels } = this;
    const { height: rows, width: columns } = sizeOf(cells);
    const [height, width] = [2 * rows, 2 * columns];
    const count = height * width;
    return kernels.scratch(() => {
      const features = kernels.allocate(4 * count * channels);
      kernels.scratch(() => {
        const y = kernels.putFloats(values);
        const line = 4 * columns * this.enter[0]!.inputs;
        for (let row = 0; row < rows; row++) {
          this.enter.forEach((enter, place) => {
            const first = (2 * row + (place >> 1)) * width + (place & 1);
            enter.run(y + row * line, columns, features + 4 * channels * first, { outStep: 8 * channels });
          });
        }
      });
      if (this.condition && prediction) {
        kernels.scratch(() => {
          const seen = sizeOf(prediction.window);
          const view = kernels.allocate(4 * count * this.condition!.inputs);
          kernels.run.toCells!(prediction.at, seen.height, seen.width, SIDE, view, height, width, 4 * this.condition!.inputs);
          this.condition!.run(view, count, features, { added: features });
        });
      }
      this.blocks.run(features, height, width);
      return this.leaving(features, cells, prediction, written, grey);
    });
  }

  private leaving(features: Pointer, cells: Window, prediction: Prediction | null, written: Window, grey: boolean): Pixels {
    const { kernels, channels } = this;
    const width = 2 * sizeOf(cells).width;
    const from = (written.left - 2 * SIDE * cells.left) / SIDE;
    const { height: down, width: across } = sizeOf(written);
    const data = new Uint8ClampedArray(4 * down * across);
    const count = Math.ceil(across / SIDE);
    const line = kernels.allocate(4 * count * this.leave.outputs);
    const bytes = kernels.allocate(4 * SIDE * across);
    for (let top = written.top; top < written.bottom; top += SIDE) {
      const row = (top - 2 * SIDE * cells.top) / SIDE;
      const high = Math.min(SIDE, written.bottom - top);
      this.leave.run(features + 4 * channels * (row * width + from), count, line);
      let [added, step] = [0, 0];
      if (prediction) {
        step = 16 * sizeOf(prediction.window).width;
        added = prediction.at + step * (top - prediction.window.top) + 16 * (written.left - prediction.window.left);
      }
      kernels.run.fromCells!(line, added, step, bytes, 4 * across, high, across, grey ? 1 : 0);
      data.set(kernels.u8(bytes, 4 * high * across), 4 * across * (top - written.top));
    }
    return { width: across, height: down, data };
  }
}
