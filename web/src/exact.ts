// Networks in integers, docs/reference/format.md: what selects a table is the same on every machine.

import { CompassError } from "./errors";
import type { Kernels, Pointer } from "./kernels";
import type { Operation, Weights } from "./model";

/** Float64 values that are whole numbers, [height][width][channels]. */
export interface Volume {
  at: Pointer;
  height: number;
  width: number;
  channels: number;
}

/** Positions whose row and column have these remainders modulo 2. */
export type Place = readonly [number, number];

interface Convolution {
  kernel: number;
  inputs: number;
  outputs: number;
  weights: Pointer;
  bias: Pointer;
}

type Step = { convolution: Convolution } | { slope: number } | "pixel_shuffle";

export class ExactNetwork {
  private readonly steps: Step[];

  constructor(
    private readonly kernels: Kernels,
    weights: Weights,
    name: string,
  ) {
    const operations = weights.networks.get(name);
    if (!operations) throw new CompassError(`the model has no ${name}`);
    this.steps = operations.map((operation, i) => this.prepared(operation, weights, `${name}.${i}`));
  }

  private prepared(operation: Operation, weights: Weights, name: string): Step {
    if (operation.kind === "pixel_shuffle") return "pixel_shuffle";
    if (operation.kind === "leaky_relu") return { slope: operation.slope ?? 0 };
    if (operation.kind !== "convolution") throw new CompassError(`networks with ${operation.kind} are not decoded here`);
    const { shape, values } = weights.get(`${name}.weight`);
    const [outputs, inputs, kernel] = shape as [number, number, number, number];
    if (outputs % 4) throw new CompassError("networks whose channels are no multiple of 4 are not decoded here");
    const taps = kernel * kernel;
    const packed = new Float64Array(values.length);
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        for (let t = 0; t < taps; t++) {
          packed[((o >> 2) * taps * inputs + t * inputs + i) * 4 + (o & 3)] = values[(o * inputs + i) * taps + t]!;
        }
      }
    }
    const bias = this.kernels.putDoubles(weights.get(`${name}.bias`).values);
    return { convolution: { kernel, inputs, outputs, weights: this.kernels.putDoubles(packed), bias } };
  }

  /** Of the input, or of what its first convolution sees at every second position. The result is allocated. */
  run(x: Volume, place?: Place): Volume {
    for (const step of this.steps) {
      if (step === "pixel_shuffle") x = this.shuffled(x);
      else if ("slope" in step) this.kernels.run.exactLeaky!(x.at, step.slope, x.height * x.width * x.channels);
      else {
        x = this.convolved(x, step.convolution, place);
        place = undefined;
      }
    }
    return x;
  }

  private convolved(x: Volume, { kernel, inputs, outputs, weights, bias }: Convolution, place?: Place): Volume {
    const { run } = this.kernels;
    const [top, left] = place ?? [0, 0];
    const step = place ? 2 : 1;
    const height = Math.ceil((x.height - top) / step);
    const width = Math.ceil((x.width - left) / step);
    const count = height * width;
    const at = this.kernels.allocate(8 * count * outputs);
    this.kernels.scratch(() => {
      let from = x.at;
      if (kernel > 1 || place) {
        from = this.kernels.allocate(8 * count * kernel * kernel * inputs);
        run.exactNeighbourhoods!(x.at, 8 * x.channels, x.height, x.width, inputs, kernel, top, left, step, from);
      }
      const seen = kernel * kernel * inputs;
      run.exactLinear!(from, 8 * seen, seen, weights, bias, outputs, at, 8 * outputs, count);
    });
    return { at, height, width, channels: outputs };
  }

  private shuffled(x: Volume): Volume {
    const channels = x.channels / 4;
    const [height, width] = [2 * x.height, 2 * x.width];
    const at = this.kernels.allocate(8 * height * width * channels);
    const from = this.kernels.f64(x.at, x.height * x.width * x.channels);
    const to = this.kernels.f64(at, height * width * channels);
    let n = 0;
    for (let y = 0; y < height; y++) {
      for (let z = 0; z < width; z++) {
        const cell = ((y >> 1) * x.width + (z >> 1)) * x.channels + 2 * (y & 1) + (z & 1);
        for (let c = 0; c < channels; c++) to[n++] = from[cell + 4 * c]!;
      }
    }
    return { at, height, width, channels };
  }
}
