// Helpers in other workers, each at the end of a port.

import type { Helper, PartTask } from "./parts";
import type { Pixels } from "./picture";

export type HelpRequest = { model: string; models: string; task: PartTask };
export type HelpAnswer = { pixels: Pixels } | { error: { name: string; message: string } };

/** Asks the worker at a port for parts of files of a model, one at a time. */
export class PortHelper implements Helper {
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly port: MessagePort,
    private readonly model: string,
    private readonly models: string,
    private readonly raised: (error: { name: string; message: string }) => Error,
  ) {}

  decode(task: PartTask): Promise<Pixels> {
    const decoded = this.turn.then(() => this.ask(task));
    this.turn = decoded.catch(() => undefined);
    return decoded;
  }

  private ask(task: PartTask): Promise<Pixels> {
    return new Promise((resolve, reject) => {
      this.port.onmessage = ({ data }: MessageEvent<HelpAnswer>) => {
        if ("pixels" in data) resolve(data.pixels);
        else reject(this.raised(data.error));
      };
      this.port.postMessage({ model: this.model, models: this.models, task } satisfies HelpRequest, buffersOf(task));
    });
  }
}

function buffersOf({ values, below }: PartTask): Transferable[] {
  return below ? [values.buffer, below.pixels.data.buffer] : [values.buffer];
}
