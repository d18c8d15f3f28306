// The repository's conformance files: the same symbols as elsewhere, the same pixels but for rare samples, by one level.

import { readFile, readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { Codec } from "../src/codec";
import { Decoder } from "../src/decoder";
import type { Latent } from "../src/entropy";
import { MemorySource } from "../src/source";
import { readPng } from "./png";

const FOLDER = new URL("../../conformance/", import.meta.url);
const MODELS = new URL("models/", import.meta.url);

interface Symbols {
  shape: [number, number, number];
  values: number[];
}

interface Expected {
  layers: { pixels: string; tiles: { z: Symbols; y: Symbols }[] }[];
}

const names = (await readdir(FOLDER)).filter((name) => name.endsWith(".cmps"));
const codecs = new Map<string, Promise<Codec>>();

function codecOf(model: string): Promise<Codec> {
  const load = async (name: string) => new Uint8Array(await readFile(new URL(name, MODELS)));
  if (!codecs.has(model)) codecs.set(model, Codec.create(model, load));
  return codecs.get(model)!;
}

/** [positions][channels] as [channel][position]. */
function byChannel(symbols: Int32Array, channels: number): number[] {
  const count = symbols.length / channels;
  return Array.from(symbols, (_, n) => symbols[(n % count) * channels + Math.floor(n / count)]!);
}

describe.each(names)("%s", (name) => {
  test("has the same symbols and pixels in every layer", async () => {
    const expected: Expected = JSON.parse(await readFile(new URL(name.replace(".cmps", ".json"), FOLDER), "utf8"));
    const decoder = await Decoder.open(new MemorySource(await readFile(new URL(name, FOLDER))));
    expect(decoder.header.layers.length).toBe(expected.layers.length);
    for (const [k, layer] of expected.layers.entries()) {
      const found: Latent[] = [];
      const watch = (at: number, _: number, latent: Latent) => at === k && found.push(latent);
      const pixels = await decoder.decode(k, await codecOf(decoder.header.model), { watch });
      expect(found.length).toBe(layer.tiles.length);
      layer.tiles.forEach((tile, n) => {
        expect(byChannel(found[n]!.hyperSymbols, tile.z.shape[0])).toEqual(tile.z.values);
        expect(byChannel(found[n]!.symbols, tile.y.shape[0])).toEqual(tile.y.values);
      });
      const png = await readPng(new URL(layer.pixels, FOLDER));
      expect([pixels.width, pixels.height]).toEqual([png.width, png.height]);
      const differences = pixels.data.map((value, n) => Math.abs(value - png.data[n]!));
      expect(Math.max(...differences)).toBeLessThanOrEqual(1);
      expect(differences.filter((d) => d > 0).length).toBeLessThanOrEqual(Math.ceil(differences.length / 1000));
    }
  });
});
