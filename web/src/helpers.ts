// Helpers in other workers, each at the end of a port.

import { CompassError } from "./errors";
import type { Helper, PartTask } from "./parts";
import type { Pixels } from "./picture";

export type HelpRequest = { id: number; model: string; models: string; task: PartTask };
export type HelpAnswer = { id: number } & ({ pixels: Pixels } | { error: string });

/** The worker at the end of a port. */
export class RemoteHelper {
  private last = 0;
  private readonly waiting = new Map<number, { resolve: (pixels: Pixels) => void; reject: (error: Error) => void }>();

  constructor(private readonly port: MessagePort) {
    port.onmessage = ({ data }: MessageEvent<HelpAnswer>) => {
      const call = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("pixels" in data) call?.resolve(data.pixels);
      else call?.reject(new CompassError(data.error));
    };
  }

  /** What decodes parts of the files of a model. Tasks are copied: one that fails can be done elsewhere. */
  of(model: string, models: string): Helper {
    return {
      decode: (task) =>
        new Promise((resolve, reject) => {
          const id = ++this.last;
          this.waiting.set(id, { resolve, reject });
          this.port.postMessage({ id, model, models, task } satisfies HelpRequest);
        }),
    };
  }

  /** Fails at all that it was asked for: its worker is no more. */
  lost(): void {
    for (const { reject } of this.waiting.values()) reject(new CompassError("a helper has stopped"));
    this.waiting.clear();
  }
}
