// Networks of features in float32, [row][column][channel]: those of the `fast` profile (src/compass/nets/fast.py).

import { CompassError } from "./errors";
import type { Kernels, Pointer } from "./kernels";
import type { Weights } from "./model";

const PANEL = 8; // output channels of a panel of weights
const GATED = 1; // the activation x * sigmoid(4 x)

/** Products of weights with the features at each position. */
export class Linear {
  readonly inputs: number;
  readonly outputs: number;
  private readonly weights: Pointer;
  private readonly bias: Pointer;

  /**
   * order: which output of the weights each output here is, -1 for one that is always 0; by default as they are.
   *
   * A kernel of several pixels sees inputs [rows][columns][channels] or, of `cells`, [channels][rows][columns]. Without a bias in the
   * model it is 0.
   */
  constructor(
    private readonly kernels: Kernels,
    weights: Weights,
    name: string,
    { order, cells = false }: { order?: number[]; cells?: boolean } = {},
  ) {
    const { shape, values } = weights.get(`${name}.weight`);
    const [outputs, channels] = shape as [number, number];
    const taps = shape.slice(2).reduce((product, side) => product * side, 1);
    this.inputs = channels * taps;
    order ??= Array.from({ length: outputs }, (_, o) => o);
    while (order.length % PANEL) order.push(-1);
    this.outputs = order.length;
    const packed = new Float32Array(this.outputs * this.inputs);
    order.forEach((from, o) => {
      if (from < 0) return;
      for (let i = 0; i < channels; i++) {
        for (let t = 0; t < taps; t++) {
          const input = cells ? i * taps + t : t * channels + i;
          packed[((o >> 3) * this.inputs + input) * PANEL + (o & 7)] = values[(from * channels + i) * taps + t]!;
        }
      }
    });
    this.weights = kernels.putFloats(packed);
    const bias = weights.find(`${name}.bias`)?.values;
    this.bias = kernels.putFloats(order.map((from) => (from < 0 || !bias ? 0 : bias[from]!)));
  }

  /** out = added + activation(weights x + bias); x, added, out: positions behind each other unless `outStep` says more. */
  run(x: Pointer, count: number, out: Pointer, { gated = false, added = 0, outStep = 4 * this.outputs } = {}): void {
    const { kernels, inputs, outputs, weights, bias } = this;
    kernels.run.linear!(x, 4 * inputs, inputs, weights, bias, outputs, gated ? GATED : 0, added, outStep, out, outStep, count);
  }
}

/** A residual branch in space and one across channels. */
class Block {
  private readonly before: Linear;
  private readonly after: Linear;
  private readonly first: Linear;
  private readonly second: Linear;
  private readonly project: Linear;
  private readonly taps: Pointer;
  private readonly tapsBias: Pointer;

  constructor(
    private readonly kernels: Kernels,
    weights: Weights,
    name: string,
    private readonly channels: number,
  ) {
    const linear = (part: string) => new Linear(kernels, weights, `${name}.${part}`);
    this.before = linear("spatial.0");
    this.after = linear("spatial.3");
    this.first = linear("first");
    this.second = linear("second");
    this.project = linear("project");
    const { values } = weights.get(`${name}.spatial.2.weight`);
    this.taps = kernels.putFloats(Float32Array.from(values, (_, n) => values[(n % channels) * 9 + Math.floor(n / channels)]!));
    this.tapsBias = kernels.putFloats(weights.find(`${name}.spatial.2.bias`)?.values ?? new Float32Array(channels));
  }

  /** Changes the features. */
  run(features: Pointer, height: number, width: number): void {
    const { kernels, channels } = this;
    const count = height * width;
    kernels.scratch(() => {
      const wide = kernels.allocate(4 * count * this.first.outputs);
      const spatial = kernels.allocate(4 * count * channels);
      this.before.run(features, count, wide, { gated: true });
      kernels.run.depthwise!(wide, this.taps, this.tapsBias, spatial, height, width, channels);
      this.after.run(spatial, count, features, { added: features });
      this.first.run(features, count, wide, { gated: true });
      this.second.run(features, count, wide, { gated: true, added: wide });
      this.project.run(wide, count, features, { added: features });
    });
  }
}

/** The blocks of a network, as many as the model has. */
export class Blocks {
  private readonly blocks: Block[] = [];

  constructor(kernels: Kernels, weights: Weights, name: string, channels: number) {
    if (channels % PANEL) throw new CompassError(`networks whose channels are no multiple of ${PANEL} are not decoded here`);
    while (weights.find(`${name}.${this.blocks.length}.project.weight`)) {
      this.blocks.push(new Block(kernels, weights, `${name}.${this.blocks.length}`, channels));
    }
  }

  run(features: Pointer, height: number, width: number): void {
    for (const block of this.blocks) block.run(features, height, width);
  }
}
