// One open file, wherever it is decoded: on this thread or in a worker.

import type { Codec, LoadModel } from "./codec";
import { codecOf } from "./codecs";
import { Decoder } from "./decoder";
import { CompassError } from "./errors";
import type { Helper } from "./parts";
import type { Pixels } from "./picture";
import { MemorySource, UrlSource, type Source } from "./source";

const MOST_PROFILE = 2 ** 22; // bytes; a longer one is left out

export type FileSource = string | URL | ArrayBuffer | Uint8Array | Blob;

export interface LayerInfo {
  index: number;
  width: number;
  height: number;
  /** 0 to 6. */
  quality: number;
  /** Bytes of the file up to the end of this layer. */
  bytes: number;
}

export interface FileInfo {
  width: number;
  height: number;
  grey: boolean;
  alpha: boolean;
  /** Hash of the model that decodes it. */
  model: string;
  /** The smallest first. */
  layers: LayerInfo[];
  /** ICC profile of all layers, if it is in front of them. */
  profile: Uint8Array | null;
}

/** A file whose header has been read. */
export interface OpenFile {
  info: FileInfo;
  /** Begins to load what layers up to this one need of the model. */
  prepare(layer: number): void;
  /** Decodes a layer. Throws CompassError on damage, AbortError if told to stop. */
  decode(layer: number, signal?: AbortSignal): Promise<Pixels>;
  /** Bytes that came over the wire, of the file alone. */
  received(): Promise<number>;
  /** Stops what is being decoded. */
  close(): void;
}

/**
 * Opens a file on this thread.
 *
 * models: the folder of the model files, ending in a slash, or what loads them; helpers: who else decodes, with a codec.
 */
export async function openHere(
  source: FileSource, models: string | LoadModel, signal?: AbortSignal, helpers: (codec: Codec) => Helper[] = () => [],
): Promise<OpenFile> {
  const bytes = await sourceOf(source);
  const decoder = await Decoder.open(bytes, signal);
  const { header } = decoder;
  const codec = codecOf(header.model, models);
  void codec.then((ready) => ready.part("base")).catch(() => undefined); // while the first layer is fetched
  const { width, height } = header.layers.at(-1)!;
  const layers = header.layers.map((layer, index) => ({
    index,
    width: layer.width,
    height: layer.height,
    quality: layer.quality / 32,
    bytes: layer.end,
  }));
  const profile = await decoder.box("ICCP", MOST_PROFILE, signal);
  const running = new Set<AbortController>();
  let closed = false;
  const decode = async (layer: number, signal?: AbortSignal) => {
    if (closed) throw new CompassError("the file is closed");
    signal?.throwIfAborted();
    const stop = new AbortController();
    const abort = () => stop.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    running.add(stop);
    try {
      const ready = await codec;
      return await decoder.decode(layer, ready, { signal: stop.signal, helpers: helpers(ready) });
    } finally {
      signal?.removeEventListener("abort", abort);
      running.delete(stop);
    }
  };
  return {
    info: { width, height, grey: header.grey, alpha: header.alpha, model: header.model, layers, profile },
    prepare: (layer) => {
      if (layer) void codec.then((ready) => ready.part("base").then(() => ready.part("residual"))).catch(() => undefined);
    },
    decode,
    received: async () => (bytes instanceof UrlSource ? bytes.received : 0),
    close: () => {
      closed = true;
      for (const stop of running) stop.abort();
    },
  };
}

async function sourceOf(source: FileSource): Promise<Source> {
  if (typeof source === "string" || source instanceof URL) return new UrlSource(String(source));
  if (source instanceof Blob) return new MemorySource(new Uint8Array(await source.arrayBuffer()));
  if (source instanceof ArrayBuffer) return new MemorySource(new Uint8Array(source));
  if (source instanceof Uint8Array) return new MemorySource(source);
  throw new CompassError("a file is given by its URL, or as an ArrayBuffer, a Uint8Array or a Blob");
}
