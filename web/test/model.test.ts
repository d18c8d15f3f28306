// Parts of models, of this format and of others.

import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { readWeights } from "../src/model";

const MODEL = "667f19a7"; // as released with format 1: it has no offsets of channels

/** The base part, its header's format replaced. */
async function basePart(format: number): Promise<Uint8Array> {
  const data = await readFile(new URL(`models/${MODEL}-base.bin`, import.meta.url));
  const field = data.indexOf('"format":');
  data[field + '"format":'.length] = String(format).charCodeAt(0);
  return new Uint8Array(data);
}

test("parts that were made for earlier decoders are read", async () => {
  const weights = await readWeights(await basePart(1), MODEL, "base");
  expect(weights.find("offset_lengths")).toBeUndefined();
  expect(weights.get("medians").shape.length).toBe(1);
});

test("a part of a later format, or of another model, is refused", async () => {
  await expect(readWeights(await basePart(3), MODEL, "base")).rejects.toThrow("is not what it should be");
  await expect(readWeights(await basePart(2), "00000000", "base")).rejects.toThrow("is not what it should be");
});
