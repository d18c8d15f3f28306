import { CompassError } from "./errors";

/** What a `Reader` throws when the bytes end too early. */
export class CutError extends CompassError {}

/** Reads little-endian numbers. */
export class Reader {
  position = 0;

  constructor(readonly data: Uint8Array) {}

  take(count: number): Uint8Array {
    if (this.position + count > this.data.length) throw new CutError("the file is cut off");
    this.position += count;
    return this.data.subarray(this.position - count, this.position);
  }

  byte(): number {
    return this.take(1)[0]!;
  }

  word(): number {
    const [a, b, c, d] = this.take(4) as unknown as [number, number, number, number];
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  /** LEB128, at most 2^49. */
  varint(): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const byte = this.byte();
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
    throw new CompassError("the file is damaged: a number in it is too large");
  }
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/** CRC-32 of zlib and PNG; `from` is that of what comes before. */
export function crc32(data: Uint8Array, from = 0): number {
  let crc = ~from;
  for (const byte of data) crc = TABLE[(crc ^ byte) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Inflates a zlib stream of at most so many bytes. Throws CompassError if it is none, or longer. */
export async function inflate(data: Uint8Array, most: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
  const damaged = new CompassError(`${what} is damaged`);
  const stream = new Blob([data as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("deflate"));
  const reader = stream.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw damaged;
    });
    if (done) return joined(parts);
    parts.push(value);
    length += value.length;
    if (length > most) {
      await reader.cancel().catch(() => undefined);
      throw damaged;
    }
  }
}

export function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
