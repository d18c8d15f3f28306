import type { Kernels, Pointer } from "./kernels";
import { sizeOf, type Size, type Window } from "./window";

/** RGBA pixels, as ImageData has them. */
export interface Pixels extends Size {
  data: Uint8ClampedArray<ArrayBuffer>;
}

/** A window of an image of `size`. */
export interface View {
  pixels: Pixels;
  window: Window;
  size: Size;
}

/** A copy of a window of an image. */
export function viewOf(image: Pixels, window: Window): View {
  const { height, width } = sizeOf(window);
  const data = new Uint8ClampedArray(4 * height * width);
  for (let y = 0; y < height; y++) {
    const from = 4 * ((window.top + y) * image.width + window.left);
    data.set(image.data.subarray(from, from + 4 * width), 4 * y * width);
  }
  return { pixels: { height, width, data }, window, size: { height: image.height, width: image.width } };
}

/** Puts pixels into an image where a window says. */
export function paste(image: Pixels, { data, height, width }: Pixels, { top, left }: Window): void {
  for (let y = 0; y < height; y++) {
    image.data.set(data.subarray(4 * y * width, 4 * (y + 1) * width), 4 * ((top + y) * image.width + left));
  }
}

/** Pixels as floats from 0 to 1, four each: allocated. */
export function toFloats(kernels: Kernels, { data }: Pixels): Pointer {
  const at = kernels.allocate(4 * data.length);
  kernels.scratch(() => {
    const bytes = kernels.allocate(data.length);
    kernels.u8(bytes, data.length).set(data);
    kernels.run.toFloats!(bytes, at, data.length / 4);
  });
  return at;
}
