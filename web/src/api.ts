/**
 * Decodes COMPASS images in a browser or in Node: layer by layer, from the bytes that are needed.
 *
 *     const image = await decode("photo.cmps", { width: 800 });          // ImageData of the smallest layer that is as wide
 *     for await (const { image } of progressive("photo.cmps")) show(image); // from small to sharp
 */

import { openInWorker } from "./client";
import type { LoadModel } from "./codec";
import { CompassError } from "./errors";
import { openHere, type FileInfo, type FileSource, type LayerInfo, type OpenFile } from "./file";
import type { Pixels } from "./picture";
import { withProfile } from "./profile";

const script = import.meta.url;

export { CompassError };
export type { FileInfo, FileSource, LayerInfo, Pixels };

export interface OpenOptions {
  /** Folder of the model files, by default `models/` beside this script. */
  models?: string | URL;
  /** Instead: loads a model file by its name. It decodes on this thread. */
  load?: LoadModel;
  signal?: AbortSignal;
  /** Whether to decode in a worker, by default where there are any. */
  worker?: boolean;
  /** Workers that decode a large image, by default one per processor, at most 4. Once started they stay, for all files. */
  threads?: number;
}

export interface LayerChoice {
  /** The number of a layer, 0 the smallest. */
  layer?: number;
  /** Instead: the smallest layer that is as wide, or the largest. */
  width?: number;
  signal?: AbortSignal;
}

/** A layer and its pixels. */
export interface DecodedLayer {
  layer: LayerInfo;
  image: Pixels;
}

/** A file whose header has been read; its layers are fetched when they are decoded. */
export class CompassFile {
  readonly info: FileInfo;

  /** See `open`. */
  constructor(private readonly file: OpenFile) {
    this.info = file.info;
  }

  /** The layer that a choice means, the largest if nothing is chosen. Throws CompassError if there is none. */
  choose({ layer, width }: LayerChoice = {}): LayerInfo {
    const { layers } = this.info;
    if (layer !== undefined && width !== undefined) throw new CompassError("give either a layer or a width");
    if (layer !== undefined) {
      const found = layers[layer];
      if (!found) throw new CompassError(`there is no layer ${layer}: the file has layers 0 to ${layers.length - 1}`);
      return found;
    }
    return layers.find((one) => width !== undefined && one.width >= width) ?? layers.at(-1)!;
  }

  /** Begins to load what the layers up to a choice need of the model, while other things are done. */
  prepare(choice: LayerChoice = {}): void {
    this.file.prepare(this.choose(choice).index);
  }

  /** Decodes one layer, by default the largest; ImageData where there is such a thing. Colours are those of the profile. */
  async decode(choice: LayerChoice = {}): Promise<Pixels> {
    return asImageData(await this.file.decode(this.choose(choice).index, choice.signal));
  }

  /** The layers one after another, up to the one that is chosen. */
  async *progressive(choice: LayerChoice = {}): AsyncGenerator<DecodedLayer> {
    const last = this.choose(choice);
    this.prepare(choice);
    for (const layer of this.info.layers.slice(0, last.index + 1)) {
      yield { layer, image: await this.decode({ layer: layer.index, ...(choice.signal && { signal: choice.signal }) }) };
    }
  }

  /** Pixels for drawing: in the colours of the file's profile where it has one, by the browser's own colour management. */
  async bitmap(pixels: Pixels): Promise<ImageBitmap> {
    const { profile } = this.info;
    if (!profile) return createImageBitmap(asImageData(pixels) as ImageData);
    return createImageBitmap(withProfile(pixels, profile, this.info.grey));
  }

  /** Bytes of the file that came over the wire so far. */
  received(): Promise<number> {
    return this.file.received();
  }

  close(): void {
    this.file.close();
  }
}

/** Opens a file: a URL, or bytes. Throws CompassError if it is none, or cannot be read. */
export async function open(source: FileSource, options: OpenOptions = {}): Promise<CompassFile> {
  const base = typeof document === "undefined" ? script : document.baseURI;
  const models = new URL(options.models ?? new URL("models/", script), base).href.replace(/\/?$/, "/");
  const from = typeof source === "string" ? new URL(source, base).href : source instanceof URL ? source.href : source;
  if (options.load) return new CompassFile(await openHere(from, options.load, options.signal));
  if (!(options.worker ?? typeof Worker !== "undefined")) return new CompassFile(await openHere(from, models, options.signal));
  return new CompassFile(await openInWorker(from, models, options.signal, options.threads));
}

/** Opens a file and decodes one layer. */
export async function decode(source: FileSource, options: OpenOptions & LayerChoice = {}): Promise<Pixels> {
  const file = await open(source, options);
  try {
    return await file.decode(options);
  } finally {
    file.close();
  }
}

/** Opens a file and yields its layers, the smallest first. */
export async function* progressive(source: FileSource, options: OpenOptions & LayerChoice = {}): AsyncGenerator<DecodedLayer> {
  const file = await open(source, options);
  try {
    yield* file.progressive(options);
  } finally {
    file.close();
  }
}

function asImageData(pixels: Pixels): Pixels {
  return typeof ImageData === "undefined" ? pixels : new ImageData(pixels.data, pixels.width, pixels.height);
}
