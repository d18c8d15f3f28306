// Helpers in other workers, each at the end of a port.

import { Calls } from "./calls";
import { Codec } from "./codec";
import { CompassError } from "./errors";
import type { Part } from "./model";
import { decodePart, type Helper, type PartTask } from "./parts";
import type { Pixels } from "./picture";

/** A task, or before the first of its kind the weights that it takes. */
type HelpRequest = { model: string } & ({ id: number; task: PartTask } | { part: Part; weights: Uint8Array });
type HelpAnswer = { id: number } & ({ pixels: Pixels } | { error: string });

/** The worker at the end of a port. */
export class RemoteHelper {
  private readonly calls = new Calls();
  private readonly known = new Set<string>(); // weights that have been sent

  constructor(private readonly port: MessagePort) {
    port.onmessage = ({ data }: MessageEvent<HelpAnswer>) => {
      if ("pixels" in data) this.calls.resolve(data.id, data.pixels);
      else this.calls.reject(data.id, new CompassError(data.error));
    };
  }

  /** What decodes parts with a codec. Tasks are copied: one that fails can be done elsewhere. */
  with(codec: Codec): Helper {
    const { model } = codec;
    return {
      decode: async (task) => {
        const weights = await codec.file(task.part); // they are there: the layer is being decoded
        if (!this.known.has(`${model}-${task.part}`)) {
          this.known.add(`${model}-${task.part}`);
          this.port.postMessage({ model, part: task.part, weights } satisfies HelpRequest);
        }
        const [id, pixels] = this.calls.begin<Pixels>();
        this.port.postMessage({ model, id, task } satisfies HelpRequest);
        return pixels;
      },
    };
  }

  /** Fails at all that it was asked for: its worker is no more. */
  lost(): void {
    this.calls.rejectAll(new CompassError("a helper has stopped"));
  }
}

/** Decodes parts as whoever is at the end of a port asks. */
export function help(port: MessagePort): void {
  const weights = new Map<string, Uint8Array>();
  const codecs = new Map<string, Promise<Codec>>();
  const codecOf = (model: string) => {
    if (!codecs.has(model)) codecs.set(model, Codec.create(model, async (name) => weights.get(name)!));
    return codecs.get(model)!;
  };
  port.onmessage = async ({ data }: MessageEvent<HelpRequest>) => {
    if ("weights" in data) {
      weights.set(`${data.model}-${data.part}.bin`, data.weights);
      return;
    }
    const { id, model, task } = data;
    try {
      const codec = await codecOf(model);
      const pixels = decodePart(codec.kernels, await codec.part(task.part), task);
      port.postMessage({ id, pixels } satisfies HelpAnswer, [pixels.data.buffer]);
    } catch (error) {
      port.postMessage({ id, error: (error as Error).message } satisfies HelpAnswer);
    }
  };
}
