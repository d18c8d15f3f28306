// Parts of a layer: each is decoded by itself, here or by a helper, to the same pixels.

import { CELL } from "./container";
import type { LayerCodec } from "./codec";
import type { Kernels } from "./kernels";
import type { Part } from "./model";
import type { Pixels, View } from "./picture";
import type { Size, Window } from "./window";

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
 * done: is told of each. What a helper fails at is done here, and nothing more is given to it. Throws the first error of `here`, once
 * nobody works on a task of this call any more.
 */
export async function decodeAll(
  tasks: Iterable<PartTask>, here: (task: PartTask) => Promise<Pixels>, helpers: Helper[], done: (task: PartTask, pixels: Pixels) => void,
): Promise<void> {
  const left = tasks[Symbol.iterator]();
  const again: PartTask[] = [];
  let failed = false;
  const next = () => again.pop() ?? (left.next().value as PartTask | undefined);
  const work = async () => {
    for (let task = next(); task && !failed; task = next()) {
      try {
        done(task, await here(task));
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const help = async (helper: Helper) => {
    for (let task = next(); task && !failed; task = next()) {
      try {
        done(task, await helper.decode(task));
      } catch {
        again.push(task);
        return;
      }
    }
  };
  const [own] = await Promise.allSettled([work(), ...helpers.map(help)]);
  if (own.status === "rejected") throw own.reason;
  await work(); // what a helper gave back at the end
}
