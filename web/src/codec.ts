// A model that is ready to decode; its parts are loaded when they are first needed.

import { EntropyModel } from "./entropy";
import { Kernels } from "./kernels";
import { readWeights, type Part, type Weights } from "./model";
import { Predictor } from "./predictor";
import { Synthesis } from "./synthesis";
import { Turns } from "./turns";

/** Loads a part of a model: the content of HASH-PART.bin. */
export type LoadModel = (name: string) => Promise<Uint8Array>;

export interface LayerCodec {
  entropy: EntropyModel;
  synthesis: Synthesis;
  predictor: Predictor | null;
}

export class Codec {
  /** Layers are decoded one after another: of many images the first is shown first. */
  readonly turns = new Turns();
  private readonly files = new Map<Part, Promise<Uint8Array>>();
  private readonly parts = new Map<Part, Promise<LayerCodec>>();

  private constructor(
    readonly kernels: Kernels,
    readonly model: string,
    private readonly load: LoadModel,
  ) {}

  static async create(model: string, load: LoadModel): Promise<Codec> {
    return new Codec(await Kernels.create(), model, load);
  }

  /** The codec of layer 0, or of all others. Throws CompassError if it cannot be had; then it can be tried again. */
  part(part: Part): Promise<LayerCodec> {
    let found = this.parts.get(part);
    if (!found) {
      found = this.ready(part);
      this.parts.set(part, found);
      found.catch(() => this.parts.delete(part));
    }
    return found;
  }

  /** The file of a part, for others who decode with it. */
  file(part: Part): Promise<Uint8Array> {
    let found = this.files.get(part);
    if (!found) {
      found = this.load(`${this.model}-${part}.bin`);
      this.files.set(part, found);
      found.catch(() => this.files.delete(part));
    }
    return found;
  }

  private async ready(part: Part): Promise<LayerCodec> {
    const weights: Weights = await readWeights(await this.file(part), this.model, part);
    return {
      entropy: new EntropyModel(this.kernels, weights),
      synthesis: new Synthesis(this.kernels, weights),
      predictor: part === "residual" ? new Predictor(this.kernels, weights) : null,
    };
  }
}
