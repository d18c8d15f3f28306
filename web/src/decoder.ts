// Layers of a file, one upon the other.

import { crc32, inflate } from "./bytes";
import type { Codec, LayerCodec } from "./codec";
import { checkEffort, parseHeader, positionsOf, tilesOf, type Header, type LayerEntry, type Span } from "./container";
import type { Latent } from "./entropy";
import { CompassError } from "./errors";
import { decodeAll, decodePart, inPixels, type Helper, type PartTask } from "./parts";
import { paste, viewOf, type Pixels } from "./picture";
import { Predictor } from "./predictor";
import type { Source } from "./source";
import { Turns } from "./turns";
import { around, sizeOf, type Window } from "./window";

const FIRST_BYTES = 512; // that hold the header of most files
const MOST_HEADER = 65536;
const MARGIN = 2; // positions beyond which nothing matters
const PART = 32; // positions a side that are worked out at once, at most
/** Pixels of a layer from which on helpers decode, too. */
export const HELPED = 300_000;

/** The symbols of a tile of a layer, for whoever wants to compare them. */
export type Watch = (layer: number, tile: number, latent: Latent, size: { height: number; width: number }) => void;

/** y of a tile. */
type TileLatent = Window & { values: Float32Array };

export interface DecodeOptions {
  signal?: AbortSignal | undefined;
  /** Is told of the symbols. */
  watch?: Watch | undefined;
  /** Who else decodes parts. */
  helpers?: Helper[] | undefined;
}

export class Decoder {
  private below: { layer: number; pixels: Pixels } | null = null;
  private readonly turns = new Turns();

  private constructor(
    readonly header: Header,
    private readonly source: Source,
  ) {}

  /** Reads the header. Throws CompassError if it is none. */
  static async open(source: Source, signal?: AbortSignal): Promise<Decoder> {
    for (let length = FIRST_BYTES; ; length *= 4) {
      const data = await source.read(0, length, signal);
      const header = parseHeader(data);
      if (header) return new Decoder(header, source);
      if (data.length < length || length > MOST_HEADER) throw new CompassError("the file is cut within its header");
    }
  }

  /** The content of a box in front of the layers, or null if there is none or it is longer than `most`. */
  async box(type: string, most: number, signal?: AbortSignal): Promise<Uint8Array | null> {
    const span = this.header.boxes.get(type);
    return span && span.length <= most ? (await this.read(span, `the box ${type}`, signal)).slice() : null;
  }

  /**
   * Decodes a layer, from the one below if that was the last that was decoded, and those below it otherwise.
   *
   * Throws CompassError if a layer is cut off or damaged, an AbortError if told to stop.
   */
  decode(layer: number, codec: Codec, options: DecodeOptions = {}): Promise<Pixels> {
    return this.turns.take(() => this.alone(layer, codec, options));
  }

  private async alone(layer: number, codec: Codec, options: DecodeOptions): Promise<Pixels> {
    const { signal } = options;
    signal?.throwIfAborted();
    const { layers } = this.header;
    if (!(layer in layers)) throw new CompassError(`there is no layer ${layer}: the file has layers 0 to ${layers.length - 1}`);
    checkEffort(this.header, layer);
    if (this.below && this.below.layer > layer) this.below = null;
    for (let k = this.below ? this.below.layer + 1 : 0; k <= layer; k++) {
      this.below = { layer: k, pixels: await this.one(k, codec, options) };
    }
    const { pixels } = this.below!;
    return { ...pixels, data: await this.withAlpha(layers[layer]!, pixels, signal) };
  }

  private async read(span: Span, what: string, signal?: AbortSignal): Promise<Uint8Array> {
    const data = await this.source.read(span.offset, span.length, signal);
    if (data.length < span.length) throw new CompassError(`the file is cut off within ${what}`);
    if (crc32(data) !== span.crc) throw new CompassError(`${what} is damaged: its checksum does not match`);
    return data;
  }

  private async one(k: number, codec: Codec, { signal, watch, helpers }: DecodeOptions): Promise<Pixels> {
    const layer = this.header.layers[k]!;
    // The model and the bytes are fetched side by side.
    const [parts, payload] = await Promise.all([
      codec.part(k ? "residual" : "base"),
      this.read(layer.payload, `layer ${k}`, signal),
    ]);
    return codec.turns.take(() => this.worked(k, codec, parts, payload, { signal, watch, helpers }));
  }

  private async worked(
    k: number, codec: Codec, parts: LayerCodec, payload: Uint8Array, { signal, watch, helpers = [] }: DecodeOptions,
  ): Promise<Pixels> {
    signal?.throwIfAborted();
    const layer = this.header.layers[k]!;
    const tiles = tilesOf(layer, payload, this.header.tile);
    const latents: TileLatent[] = [];
    for (const [n, { top, left, height, width, stream }] of tiles.entries()) {
      const latent = parts.entropy.decode(stream, height, width, layer.quality);
      watch?.(k, n, latent, { height, width });
      latents.push({ values: latent.values, top, left, bottom: top + height, right: left + width });
      await pause(signal);
    }
    const { width, height } = layer;
    const pixels: Pixels = { width, height, data: new Uint8ClampedArray(4 * width * height) };
    const here = async (task: PartTask) => {
      await pause(signal);
      return decodePart(codec.kernels, parts, task);
    };
    const helping = width * height >= HELPED ? helpers : [];
    const tasks = this.tasks(k, latents, parts.entropy.channels, helping.length + 1);
    await decodeAll(tasks, here, helping, (task, found) => paste(pixels, found, task.written));
    signal?.throwIfAborted();
    return pixels;
  }

  /** Parts of a layer, of about the same size, and so many that all who decode have something to do. */
  private *tasks(k: number, latents: TileLatent[], channels: number, decoding: number): Generator<PartTask> {
    const layer = this.header.layers[k]!;
    const positions = positionsOf(layer);
    const rows = Math.ceil(positions.height / PART);
    const columns = Math.max(Math.ceil(positions.width / PART), Math.ceil(decoding / rows));
    const [high, wide] = [Math.ceil(positions.height / rows), Math.ceil(positions.width / columns)];
    for (let top = 0; top < positions.height; top += high) {
      for (let left = 0; left < positions.width; left += wide) {
        const own = { top, left, bottom: Math.min(top + high, positions.height), right: Math.min(left + wide, positions.width) };
        const cells = around(own, MARGIN, 1, positions);
        const lower = k ? this.below!.pixels : null;
        yield {
          part: k ? "residual" : "base",
          layer: { height: layer.height, width: layer.width },
          grey: this.header.grey,
          written: inPixels(own, layer),
          cells,
          values: gathered(latents, cells, channels),
          below: lower && viewOf(lower, Predictor.sees(inPixels(cells, layer), layer, lower)),
        };
      }
    }
  }

  private async withAlpha(layer: LayerEntry, pixels: Pixels, signal?: AbortSignal): Promise<Pixels["data"]> {
    const data = pixels.data.slice();
    if (!layer.alpha) return data;
    const what = "the alpha of a layer";
    const rows = await inflate(await this.read(layer.alpha, what, signal), layer.width * layer.height, what);
    if (rows.length !== layer.width * layer.height) throw new CompassError(`${what} is damaged`);
    for (let n = 0; n < rows.length; n++) {
      if (n >= layer.width) rows[n] = rows[n]! + rows[n - layer.width]!;
      data[4 * n + 3] = rows[n]!;
    }
    return data;
  }
}

/** y of a window of positions, [positions][channels], from the tiles that it touches. */
function gathered(latents: TileLatent[], window: Window, channels: number): Float32Array {
  const { height, width } = sizeOf(window);
  const values = new Float32Array(height * width * channels);
  for (const tile of latents) {
    const [left, right] = [Math.max(tile.left, window.left), Math.min(tile.right, window.right)];
    if (left >= right) continue;
    for (let y = Math.max(tile.top, window.top); y < Math.min(tile.bottom, window.bottom); y++) {
      const from = ((y - tile.top) * (tile.right - tile.left) + left - tile.left) * channels;
      const to = ((y - window.top) * width + left - window.left) * channels;
      values.set(tile.values.subarray(from, from + (right - left) * channels), to);
    }
  }
  return values;
}

/** Lets other work be done, such as taking in that this is to stop: sooner than a timer would. */
async function pause(signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
  signal?.throwIfAborted();
}
