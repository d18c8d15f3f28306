// The page's side of the worker.

import { Calls } from "./calls";
import { CompassError } from "./errors";
import { HELPED } from "./decoder";
import type { FileInfo, FileSource, OpenFile } from "./file";
import type { Answer, Request } from "./messages";
import type { Pixels } from "./picture";
import DecodingWorker from "./worker?worker&inline";

type Call = Request extends infer R ? (R extends { id: number } ? Omit<R, "id"> : never) : never;

const MOST_HELPERS = 3; // each holds the model, too

let worker: Worker | null = null;
let helpers: Worker[] = [];
const calls = new Calls();

/** Opens a file in the worker that all files of a page share. threads: that decode it, if it is large. */
export async function openInWorker(source: FileSource, models: string, signal?: AbortSignal, threads?: number): Promise<OpenFile> {
  const [file, opened] = ask<FileInfo>({ call: "open", source, models }, signal);
  const info = await opened;
  return {
    info,
    prepare: (layer) => void ask({ call: "prepare", file, layer })[1].catch(() => undefined),
    decode: (layer, stop) => {
      const { width, height } = info.layers[layer]!;
      if (width * height >= HELPED) addHelpers(threads);
      return ask<Pixels>({ call: "decode", file, layer }, stop)[1];
    },
    received: () => ask<number>({ call: "received", file })[1],
    close: () => void ask({ call: "close", file })[1].catch(() => undefined),
  };
}

/** The number of a call, and what it gives. */
function ask<T>(call: Call, signal?: AbortSignal): [number, Promise<T>] {
  const [id, answer] = calls.begin<T>();
  if (signal?.aborted) {
    calls.reject(id, signal.reason as Error);
    return [id, answer];
  }
  const stop = () => running().postMessage({ id: 0, call: "stop", what: id } satisfies Request);
  signal?.addEventListener("abort", stop);
  running().postMessage({ ...call, id } as Request);
  return [id, answer.finally(() => signal?.removeEventListener("abort", stop))];
}

/** Starts workers that decode parts for the one that answers, once for all files. */
function addHelpers(threads = Math.min(navigator.hardwareConcurrency || 1, 1 + MOST_HELPERS)): void {
  while (helpers.length + 1 < threads) {
    const helper = new DecodingWorker();
    const { port1, port2 } = new MessageChannel();
    helper.onerror = loseHelpers;
    helper.postMessage({ id: 0, call: "help" } satisfies Request, [port1]);
    running().postMessage({ id: 0, call: "helper" } satisfies Request, [port2]);
    helpers.push(helper);
  }
}

/** Without helpers the worker that answers does all: nobody is waited for who may never answer. */
function loseHelpers(): void {
  for (const helper of helpers) helper.terminate();
  helpers = [];
  worker?.postMessage({ id: 0, call: "helpersLost" } satisfies Request);
}

function running(): Worker {
  if (worker) return worker;
  worker = new DecodingWorker();
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    if ("result" in data) calls.resolve(data.id, data.result);
    else calls.reject(data.id, raised(data.error));
  };
  worker.onerror = (event) => {
    calls.rejectAll(new CompassError(`the decoder has stopped${event.message ? `: ${event.message}` : ""}`));
    worker?.terminate();
    worker = null;
    loseHelpers();
  };
  return worker;
}

function raised({ name, message }: { name: string; message: string }): Error {
  return name === "AbortError" ? new DOMException(message, name) : new CompassError(message);
}
