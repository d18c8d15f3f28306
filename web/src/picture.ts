import type { Kernels, Pointer } from "./kernels";
import { sizeOf, type Size, type Window } from "./window";

/** RGBA pixels, as ImageData has them. */
export interface Pixels extends Size {
  data: Uint8ClampedArray<ArrayBuffer>;
}

/** A window of pixels as floats from 0 to 1, four each: allocated. */
export function toFloats(kernels: Kernels, pixels: Pixels, window: Window): Pointer {
  const { height, width } = sizeOf(window);
  const at = kernels.allocate(16 * height * width);
  kernels.scratch(() => {
    const bytes = kernels.allocate(4 * height * width);
    const copy = kernels.u8(bytes, 4 * height * width);
    for (let y = 0; y < height; y++) {
      const from = 4 * ((window.top + y) * pixels.width + window.left);
      copy.set(pixels.data.subarray(from, from + 4 * width), 4 * y * width);
    }
    kernels.run.toFloats!(bytes, at, height * width);
  });
  return at;
}
