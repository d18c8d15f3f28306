// Parts of a layer: each is decoded by itself, here or by a helper, to the same pixels.

import type { LayerCodec } from "./codec";
import type { Kernels } from "./kernels";
import type { Part } from "./model";
import type { Pixels, View } from "./picture";
import type { Size, Window } from "./window";

export const CELL = 16; // pixels a side of a position of y

/** All that a part of a layer is decoded from. */
export interface PartTask {
  part: Part;
  layer: Size;
  grey: boolean;
  /** What is wanted, in pixels. */
  written: Window;
  /** Positions of y that it depends on, and their values [positions][channels]. */
  cells: Window;
  values: Float32Array;
  /** Of the layer below, as much as it depends on. */
  below: View | null;
}

/** Decodes parts elsewhere. */
export interface Helper {
  decode(task: PartTask): Promise<Pixels>;
}

/** The pixels of `task.written`. */
export function decodePart(kernels: Kernels, codec: LayerCodec, task: PartTask): Pixels {
  return kernels.scratch(() => {
    const seen = inPixels(task.cells, task.layer);
    const prediction = task.below && { at: codec.predictor!.run(task.below, task.layer, seen), window: seen };
    return codec.synthesis.run(task.values, task.cells, prediction, task.written, task.grey);
  });
}

/** The pixels of a window of positions. */
export function inPixels({ top, left, bottom, right }: Window, layer: Size): Window {
  return {
    top: CELL * top,
    left: CELL * left,
    bottom: Math.min(CELL * bottom, layer.height),
    right: Math.min(CELL * right, layer.width),
  };
}

/**
 * Decodes tasks, each when there is somebody for it: `here` takes one at a time, and so does each helper.
 *
 * done: is told of each. Throws the first error, once nobody works on a task of this call any more.
 */
export async function decodeAll(
  tasks: Iterable<PartTask>, here: (task: PartTask) => Promise<Pixels>, helpers: Helper[], done: (task: PartTask, pixels: Pixels) => void,
): Promise<void> {
  const left = tasks[Symbol.iterator]();
  let failed = false;
  const work = async (decode: (task: PartTask) => Promise<Pixels>) => {
    for (let next = left.next(); !next.done && !failed; next = left.next()) {
      try {
        done(next.value, await decode(next.value));
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled([...helpers.map((helper) => work((task) => helper.decode(task))), work(here)]);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
