// The page's side of the worker.

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
let last = 0;
const waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();

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
  const id = ++last;
  return [id, answer<T>({ ...call, id } as Request, signal)];
}

async function answer<T>(request: Request, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted();
  const answered = new Promise<T>((resolve, reject) => waiting.set(request.id, { resolve, reject }));
  const stop = () => running().postMessage({ id: 0, call: "stop", what: request.id } satisfies Request);
  signal?.addEventListener("abort", stop);
  running().postMessage(request);
  try {
    return await answered;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
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
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if ("result" in data) call?.resolve(data.result as never);
    else call?.reject(raised(data.error));
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new CompassError(`the decoder has stopped${event.message ? `: ${event.message}` : ""}`));
    waiting.clear();
    worker?.terminate();
    worker = null;
    loseHelpers();
  };
  return worker;
}

function raised({ name, message }: { name: string; message: string }): Error {
  return name === "AbortError" ? new DOMException(message, name) : new CompassError(message);
}
