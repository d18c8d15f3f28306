// Colour profiles: a browser follows those of image files, so pixels with a profile are given to it as one.

import { crc32, joined } from "./bytes";
import type { Pixels } from "./picture";

const STORED = 65535; // bytes of a block that is not compressed

/** A PNG, not compressed, that has the profile: of colours, or of grey. */
export function withProfile(pixels: Pixels, profile: Uint8Array, grey: boolean): Blob {
  const { width, height, data } = pixels;
  const length = (grey ? 2 : 4) * width + 1;
  const lines = new Uint8Array(height * length);
  for (let y = 0; y < height; y++) {
    const row = data.subarray(4 * width * y, 4 * width * (y + 1));
    if (grey) for (let x = 0; x < width; x++) lines.set([row[4 * x]!, row[4 * x + 3]!], y * length + 1 + 2 * x);
    else lines.set(row, y * length + 1);
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, grey ? 4 : 6], 8);
  const name = Uint8Array.from([73, 67, 67, 0, 0]); // "ICC", and how it is compressed
  const parts = [
    Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10),
    chunk("IHDR", header),
    chunk("iCCP", joined([name, zlib(profile)])),
    chunk("IDAT", zlib(lines)),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob(parts, { type: "image/png" });
}

function chunk(kind: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const named = joined([Uint8Array.from(kind, (letter) => letter.charCodeAt(0)), content]);
  return joined([bigEndian(content.length), named, bigEndian(crc32(named))]);
}

/** A zlib stream of stored blocks. */
function zlib(content: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(0x78, 0x01)];
  let [a, b] = [1, 0]; // Adler-32
  for (let at = 0; at < content.length || at === 0; at += STORED) {
    const block = content.subarray(at, at + STORED);
    const last = at + STORED >= content.length ? 1 : 0;
    parts.push(Uint8Array.of(last, block.length & 255, block.length >> 8, ~block.length & 255, (~block.length >> 8) & 255), block);
    for (let from = 0; from < block.length; from += 3800) { // sums stay below 2^31
      for (const byte of block.subarray(from, from + 3800)) {
        a += byte;
        b += a;
      }
      a %= 65521;
      b %= 65521;
    }
  }
  parts.push(bigEndian(b * 65536 + a));
  return joined(parts);
}

function bigEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
