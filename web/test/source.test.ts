// What comes over the wire, and what goes wrong there.

import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { open } from "../src/api";
import { crc32 } from "../src/bytes";
import { serve } from "../scripts/serve.mjs";

const CONFORMANCE = new URL("../../conformance/", import.meta.url);
const MODELS = new URL("models/", import.meta.url);

let address: string;
let server: Server;
let folder: string;
/** What the server does with the next request for a file, beside what it should. */
let mishap: ((request: { headers: Record<string, string | undefined> }, response: any) => boolean) | null = null;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "compass-"));
  for (const name of ["ladder.cmps", "example.cmps", "grey.cmps"]) await writeFile(join(folder, name), await readFile(new URL(name, CONFORMANCE)));
  for (const part of ["base", "residual"]) {
    const name = `71e5f09f-${part}.bin`;
    await writeFile(join(folder, name), await readFile(new URL(name, MODELS)));
  }
  ({ address, server } = await serve(folder, {
    before: (request: any, response: any) => request.url.endsWith(".cmps") && (mishap?.(request, response) ?? false),
  }));
});

afterAll(() => {
  server.close();
});

async function opened(name: string) {
  return open(new URL(name, address), { models: address, worker: false });
}

test("only the bytes of the layers that are decoded come over the wire", async () => {
  const ranges: string[] = [];
  mishap = (request) => {
    ranges.push(request.headers.range!);
    return false;
  };
  const whole = (await readFile(new URL("ladder.cmps", CONFORMANCE))).length;
  const file = await opened("ladder.cmps");
  await file.decode({ layer: 2 });
  expect(ranges[0]).toBe("bytes=0-511");
  const [, second, third] = file.info.layers;
  expect(second!.bytes).toBeLessThan(512);
  expect(third!.bytes).toBeGreaterThan(512);
  expect(ranges.slice(1)).toEqual([`bytes=512-${third!.bytes - 1}`]);
  expect(await file.received()).toBe(third!.bytes);
  await file.decode();
  expect(await file.received()).toBe(whole);
  mishap = null;
});

test("a server that knows no ranges gives the whole file, once", async () => {
  const whole = await readFile(join(folder, "ladder.cmps"));
  let requests = 0;
  mishap = (_, response) => {
    requests += 1;
    response.writeHead(200).end(whole);
    return true;
  };
  const file = await opened("ladder.cmps");
  const image = await file.decode();
  mishap = null;
  expect([requests, await file.received()]).toEqual([1, whole.length]);
  expect(image.data).toEqual((await (await opened("ladder.cmps")).decode()).data);
});

test.each([
  ["a missing file", "none.cmps", null, /none\.cmps cannot be read: the server says 404/],
  ["a server's error", "ladder.cmps", 503, /ladder\.cmps cannot be read: the server says 503/],
] as const)("%s is said", async (_, name, status, message) => {
  if (status) {
    mishap = (__, response) => {
      response.writeHead(status).end();
      return true;
    };
  }
  await expect(opened(name)).rejects.toThrow(message);
  mishap = null;
});

test("a server that is not there is said", async () => {
  await expect(open("http://127.0.0.1:9/x.cmps", { models: address, worker: false })).rejects.toThrow(/x\.cmps cannot be read/);
});

test("a connection that breaks is said", async () => {
  mishap = (_, response) => {
    response.writeHead(206, { "content-length": 512 });
    response.write(new Uint8Array(20));
    setTimeout(() => response.destroy(), 50);
    return true;
  };
  await expect(opened("ladder.cmps")).rejects.toThrow(/was cut off in transit|cannot be read/);
  mishap = null;
});

test("a file that changes in between is said", async () => {
  let version = 0;
  const whole = await readFile(join(folder, "ladder.cmps"));
  mishap = (request, response) => {
    const [, first, last] = /bytes=(\d+)-(\d+)/.exec(request.headers.range!)!;
    response.writeHead(206, { etag: `"${version++}"` }).end(whole.subarray(Number(first), Number(last) + 1));
    return true;
  };
  const file = await opened("ladder.cmps");
  await expect(file.decode()).rejects.toThrow(/has changed while it was read/);
  mishap = null;
});

test.each(["ladder.cmps", "grey.cmps", "example.cmps"])("no flipped bit of %s makes another picture", async (name) => {
  const data = new Uint8Array(await readFile(new URL(name, CONFORMANCE)));
  const whole = await open(data, { models: address, worker: false });
  const expected = await whole.decode();
  let found = 0;
  for (let at = 0; at < whole.info.layers.at(-1)!.bytes; at += 5) {
    const damaged = data.slice();
    damaged[at]! ^= 1 << at % 8;
    try {
      const image = await (await open(damaged, { models: address, worker: false })).decode();
      expect(image.data).toEqual(expected.data); // say where it was in the alpha of a smaller layer
    } catch (error) {
      expect((error as Error).name).toBe("CompassError");
      found += 1;
    }
  }
  expect(found).toBeGreaterThan(10);
});

test("a file that is cut has its first layers, and the rest is said to be missing", async () => {
  const data = new Uint8Array(await readFile(new URL("ladder.cmps", CONFORMANCE)));
  const whole = await open(data, { models: address, worker: false });
  const cut = await open(data.subarray(0, whole.info.layers[1]!.bytes), { models: address, worker: false });
  expect((await cut.decode({ layer: 1 })).data).toEqual((await whole.decode({ layer: 1 })).data);
  await expect(cut.decode()).rejects.toThrow("the file is cut off within layer 2");
  await expect(open(data.subarray(0, 20), { models: address, worker: false })).rejects.toThrow("the file is cut within its header");
});

test.each([
  [new Uint8Array(), "the file is cut within its header"],
  [new TextEncoder().encode("<!doctype html>"), "this is not a COMPASS file"],
])("what is no file is said", async (data, message) => {
  await expect(open(data, { models: address, worker: false })).rejects.toThrow(message);
});

test("a model that is not there is said, and can come later", async () => {
  const data = new Uint8Array(await readFile(new URL("example.cmps", CONFORMANCE)));
  const file = await open(data, { models: new URL("nowhere/", address), worker: false });
  await expect(file.decode()).rejects.toThrow(/the model 71e5f09f cannot be loaded from .*nowhere\/71e5f09f-base\.bin: the server says 404/);
});

test("decoding stops when told to", async () => {
  const stop = new AbortController();
  const file = await opened("ladder.cmps");
  const decoding = file.decode({ signal: stop.signal });
  stop.abort();
  await expect(decoding).rejects.toMatchObject({ name: "AbortError" });
  expect((await file.decode()).width).toBe(file.info.width);
});

/** A file of one layer of these sides, at quality 2, that has all its checksums. */
function bomb(width: number, height: number, stream = new Uint8Array(), alpha: Uint8Array | null = null): Uint8Array {
  const bytes: number[] = [0xcf, 0x43, 0x4d, 0x50, 2, 0x71, 0xe5, 0xf0, 0x9f, alpha ? 2 : 0, 1];
  const varint = (value: number) => {
    for (; value > 127; value = Math.floor(value / 128)) bytes.push(128 + (value % 128));
    bytes.push(value);
  };
  const word = (value: number) => bytes.push(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);
  varint(width);
  varint(height);
  varint(width * 4 + 3);
  varint(height);
  bytes.push(64);
  varint(stream.length);
  word(crc32(stream));
  if (alpha) {
    varint(alpha.length);
    word(crc32(alpha));
  }
  word(crc32(Uint8Array.from(bytes)));
  return Uint8Array.from([...bytes, ...stream, ...(alpha ?? [])]);
}

test.each([[2 ** 20, 1], [2 ** 20, 2 ** 20], [8192, 4096]])("a file of a few bytes does not get to claim %i x %i pixels", async (width, height) => {
  const file = await open(bomb(width, height), { models: address, worker: false });
  await expect(file.decode()).rejects.toThrow(`a layer of ${width}x${height} is more than is decoded here`);
});

test("alpha does not inflate to more than there are pixels", async () => {
  const example = await readFile(new URL("example.cmps", CONFORMANCE));
  const stream = example.subarray(41, 56); // of its layer 0, which has one position
  const file = await open(bomb(16, 16, stream, deflateSync(new Uint8Array(100_000))), { models: address, worker: false });
  await expect(file.decode()).rejects.toThrow("the alpha of a layer is damaged");
});

test("layers that are asked for at once are decoded one after another", async () => {
  const file = await opened("ladder.cmps");
  const found = await Promise.all([3, 0, 2, 1, 3].map((layer) => file.decode({ layer })));
  const again = await opened("ladder.cmps");
  for (const [n, layer] of [3, 0, 2, 1, 3].entries()) expect(found[n]!.data).toEqual((await again.decode({ layer })).data);
});

test("layers are chosen by number or by width", async () => {
  const file = await opened("ladder.cmps");
  const widths = file.info.layers.map(({ width }) => width);
  expect(file.choose({ width: 1 }).index).toBe(0);
  expect(file.choose({ width: widths[0]! + 1 }).index).toBe(1);
  expect(file.choose({ width: 10 ** 6 }).index).toBe(widths.length - 1);
  expect(() => file.choose({ layer: 9 })).toThrow("there is no layer 9: the file has layers 0 to 3");
  expect(() => file.choose({ layer: 0, width: 3 })).toThrow("give either a layer or a width");
});
