import { readFile } from "node:fs/promises";
import { inflateSync } from "node:zlib";
import type { Pixels } from "../src/picture";

const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 4: 2, 6: 4 };

/** Reads a PNG of 8 bits, not interlaced, as RGBA. */
export async function readPng(url: URL): Promise<Pixels> {
  const file = await readFile(url);
  const [width, height, depth, kind] = [file.readUInt32BE(16), file.readUInt32BE(20), file[24], file[25]!];
  const channels = CHANNELS[kind];
  if (depth !== 8 || !channels) throw new Error(`${url}: not such a PNG`);
  const parts: Buffer[] = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
  }
  const lines = inflateSync(Buffer.concat(parts));
  const data = new Uint8ClampedArray(4 * width * height);
  const length = width * channels;
  let above = new Uint8Array(length);
  for (let y = 0; y < height; y++) {
    const line = Uint8Array.from(lines.subarray(y * (length + 1) + 1, (y + 1) * (length + 1)));
    const filter = lines[y * (length + 1)]!;
    for (let x = 0; x < length; x++) {
      const [a, b, c] = [line[x - channels] ?? 0, above[x]!, above[x - channels] ?? 0];
      line[x] = line[x]! + [0, a, b, (a + b) >> 1, paeth(a, b, c)][filter]!;
    }
    for (let x = 0; x < width; x++) {
      const values = line.subarray(x * channels, (x + 1) * channels);
      const colours = channels < 3 ? [values[0]!, values[0]!, values[0]!] : [values[0]!, values[1]!, values[2]!];
      data.set([...colours, channels % 2 ? 255 : values[channels - 1]!], 4 * (y * width + x));
    }
    above = line;
  }
  return { width, height, data };
}

function paeth(a: number, b: number, c: number): number {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}
