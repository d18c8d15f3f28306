// The worker's side: opens and decodes files as the page asks.

import { openHere, type OpenFile } from "./file";
import type { Answer, Request } from "./messages";

const files = new Map<number, OpenFile>();
const running = new Map<number, AbortController>();

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  if (data.call === "stop") {
    running.get(data.what)?.abort();
    return;
  }
  const stop = new AbortController();
  running.set(data.id, stop);
  try {
    const result = await answered(data, stop.signal);
    const moved = result && typeof result === "object" && "data" in result ? [result.data.buffer] : [];
    self.postMessage({ id: data.id, result } satisfies Answer, { transfer: moved });
  } catch (error) {
    const { name, message } = error as Error;
    self.postMessage({ id: data.id, error: { name, message } } satisfies Answer);
  } finally {
    running.delete(data.id);
  }
};

async function answered(request: Exclude<Request, { call: "stop" }>, signal: AbortSignal) {
  if (request.call === "open") {
    const file = await openHere(request.source, request.models, signal);
    files.set(request.id, file);
    return file.info;
  }
  const file = files.get(request.file);
  if (!file) return null;
  if (request.call === "decode") return file.decode(request.layer, signal);
  if (request.call === "received") return file.received();
  if (request.call === "prepare") {
    file.prepare(request.layer);
    return null;
  }
  files.delete(request.file);
  return null;
}
