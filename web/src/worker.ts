// A worker: opens and decodes files as the page asks, or decodes parts as another worker asks.

import { CompassError } from "./errors";
import { openHere, type OpenFile } from "./file";
import { help, RemoteHelper } from "./helpers";
import type { Answer, Request } from "./messages";

const files = new Map<number, OpenFile>();
const running = new Map<number, AbortController>();
let helpers: RemoteHelper[] = [];

self.onmessage = async ({ data, ports: given }: MessageEvent<Request>) => {
  if (data.call === "stop") running.get(data.what)?.abort();
  else if (data.call === "helper") helpers.push(new RemoteHelper(given[0]!));
  else if (data.call === "helpersLost") {
    for (const helper of helpers) helper.lost();
    helpers = [];
  } else if (data.call === "help") help(given[0]!);
  else await answer(data);
};

async function answer(request: Exclude<Request, { call: "stop" | "helper" | "helpersLost" | "help" }>): Promise<void> {
  const stop = new AbortController();
  running.set(request.id, stop);
  try {
    const result = await answered(request, stop.signal);
    const moved = result && typeof result === "object" && "data" in result ? [result.data.buffer] : [];
    self.postMessage({ id: request.id, result } satisfies Answer, { transfer: moved });
  } catch (error) {
    const { name, message } = error as Error;
    self.postMessage({ id: request.id, error: { name, message } } satisfies Answer);
  } finally {
    running.delete(request.id);
  }
}

async function answered(request: Parameters<typeof answer>[0], signal: AbortSignal) {
  if (request.call === "open") {
    const { source, models } = request;
    const file = await openHere(source, models, signal, (codec) => helpers.map((helper) => helper.with(codec)));
    files.set(request.id, file);
    return file.info;
  }
  const file = files.get(request.file);
  if (request.call === "close") {
    file?.close();
    files.delete(request.file);
    return null;
  }
  if (!file) throw new CompassError("the file is closed, or the decoder has stopped since it was opened");
  if (request.call === "decode") return file.decode(request.layer, signal);
  if (request.call === "received") return file.received();
  file.prepare(request.layer);
  return null;
}
