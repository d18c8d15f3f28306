// Layers of a file, one upon the other.

import { crc32, inflate } from "./bytes";
import type { Codec } from "./codec";
import { parseHeader, tilesOf, type Header, type LayerEntry, type Part } from "./container";
import type { Latent } from "./entropy";
import { CompassError } from "./errors";
import type { Pixels } from "./picture";
import type { Source } from "./source";
import { around, sizeOf, type Window } from "./window";

const FIRST_BYTES = 512; // that hold the header of most files
const MOST_HEADER = 65536;
const CELL = 16; // pixels a side of a position of y
const MARGIN = 2; // positions beyond which nothing matters
const PART = 32; // positions a side that are worked out at once
const MOST_PIXELS = 2 ** 28;

/** The symbols of a tile of a layer, for whoever wants to compare them. */
export type Watch = (layer: number, tile: number, latent: Latent, size: { height: number; width: number }) => void;

export class Decoder {
  private below: { layer: number; pixels: Pixels } | null = null;

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

  /** The content of a box in front of the layers, or null. */
  async box(type: string, signal?: AbortSignal): Promise<Uint8Array | null> {
    const part = this.header.boxes.get(type);
    return part ? this.read(part, `the box ${type}`, signal) : null;
  }

  /**
   * Decodes a layer, from the one below if that was the last that was decoded, and those below it otherwise.
   *
   * Throws CompassError if a layer is cut off or damaged, an AbortError if told to stop.
   */
  async decode(layer: number, codec: Codec, signal?: AbortSignal, watch?: Watch): Promise<Pixels> {
    const { layers } = this.header;
    if (!(layer in layers)) throw new CompassError(`there is no layer ${layer}: the file has layers 0 to ${layers.length - 1}`);
    if (layers[layer]!.width * layers[layer]!.height > MOST_PIXELS) throw new CompassError("the layer has more pixels than are decoded here");
    if (this.below && this.below.layer > layer) this.below = null;
    for (let k = this.below ? this.below.layer + 1 : 0; k <= layer; k++) {
      this.below = { layer: k, pixels: await this.one(k, codec, signal, watch) };
    }
    const { pixels } = this.below!;
    return { ...pixels, data: await this.withAlpha(layers[layer]!, pixels, signal) };
  }

  private async read(part: Part, what: string, signal?: AbortSignal): Promise<Uint8Array> {
    const data = await this.source.read(part.offset, part.length, signal);
    if (data.length < part.length) throw new CompassError(`the file is cut off within ${what}`);
    if (crc32(data) !== part.crc) throw new CompassError(`${what} is damaged: its checksum does not match`);
    return data;
  }

  private async one(k: number, codec: Codec, signal?: AbortSignal, watch?: Watch): Promise<Pixels> {
    const layer = this.header.layers[k]!;
    // The model and the bytes are fetched side by side.
    const [parts, payload] = await Promise.all([
      codec.part(k ? "residual" : "base"),
      this.read(layer.payload, `layer ${k}`, signal),
    ]);
    const tiles = tilesOf(layer, payload, this.header.tile);
    const latents: (Latent & Window)[] = [];
    for (const [n, { top, left, height, width, stream }] of tiles.entries()) {
      const latent = parts.entropy.decode(stream, height, width, layer.quality);
      watch?.(k, n, latent, { height, width });
      latents.push({ ...latent, top, left, bottom: top + height, right: left + width });
      await pause(signal);
    }
    const { width, height } = layer;
    const pixels: Pixels = { width, height, data: new Uint8ClampedArray(4 * width * height) };
    const positions = { height: Math.ceil(height / CELL), width: Math.ceil(width / CELL) };
    for (let top = 0; top < positions.height; top += PART) {
      for (let left = 0; left < positions.width; left += PART) {
        const own = { top, left, bottom: Math.min(top + PART, positions.height), right: Math.min(left + PART, positions.width) };
        const cells = around(own, MARGIN, 1, positions);
        const written = inPixels(own, layer);
        const values = gathered(latents, cells, parts.entropy.channels);
        codec.kernels.scratch(() => {
          const seen = inPixels(cells, layer);
          const prediction = parts.predictor ? { at: parts.predictor.run(this.below!.pixels, layer, seen), window: seen } : null;
          parts.synthesis.run(values, cells, prediction, written, pixels, this.header.grey);
        });
        await pause(signal);
      }
    }
    return pixels;
  }

  private async withAlpha(layer: LayerEntry, pixels: Pixels, signal?: AbortSignal): Promise<Pixels["data"]> {
    const data = pixels.data.slice();
    if (!layer.alpha) return data;
    const what = "the alpha of a layer";
    const rows = await inflate(await this.read(layer.alpha, what, signal), what);
    if (rows.length !== layer.width * layer.height) throw new CompassError(`${what} is damaged`);
    for (let n = 0; n < rows.length; n++) {
      if (n >= layer.width) rows[n] = rows[n]! + rows[n - layer.width]!;
      data[4 * n + 3] = rows[n]!;
    }
    return data;
  }
}

function inPixels({ top, left, bottom, right }: Window, layer: LayerEntry): Window {
  return {
    top: CELL * top,
    left: CELL * left,
    bottom: Math.min(CELL * bottom, layer.height),
    right: Math.min(CELL * right, layer.width),
  };
}

/** y of a window of positions, [positions][channels], from the tiles that it touches. */
function gathered(latents: (Latent & Window)[], window: Window, channels: number): Float32Array {
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

/** Lets other work be done, such as taking in that this is to stop. */
async function pause(signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve));
  signal?.throwIfAborted();
}
