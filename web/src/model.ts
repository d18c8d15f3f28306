// A model as `compass models web` writes it: see src/compass/model/web.py.

import { Reader, inflate } from "./bytes";
import { CompassError } from "./errors";

export type Part = "base" | "residual";
export type Numbers = Float32Array | Float64Array;

/** One operation of an integer network. */
export interface Operation {
  kind: string;
  slope?: number;
}

export interface Tensor {
  shape: number[];
  values: Numbers;
}

/** Weights of one part, and the integer networks that are in it. */
export class Weights {
  constructor(
    private readonly arrays: Map<string, Tensor>,
    readonly networks: Map<string, Operation[]>,
  ) {}

  find(name: string): Tensor | undefined {
    return this.arrays.get(name);
  }

  /** Throws CompassError if there is no such array. */
  get(name: string): Tensor {
    const found = this.find(name);
    if (!found) throw new CompassError(`the model has no ${name}`);
    return found;
  }
}

const FORMATS = [1, 2]; // before 2 no model had offsets of channels
const MOST_BYTES = 2 ** 27;
const BYTES: Record<string, number> = { int8: 1, int16: 2, int32: 4, float16: 2, float32: 4, float64: 8 };

/** Reads a part of a model. Throws CompassError if it is none, or of another model. */
export async function readWeights(data: Uint8Array, model: string, part: Part): Promise<Weights> {
  const what = `the ${part} part of the model ${model}`;
  const r = new Reader(data);
  let header: { format: number; model: string; part: string; networks: Record<string, Operation[]>; arrays: [string, string, number[]][] };
  try {
    if (String.fromCharCode(...r.take(4)) !== "CMPW") throw new Error();
    header = JSON.parse(new TextDecoder().decode(r.take(r.word())));
  } catch {
    throw new CompassError(`${what} is not a model for browsers`);
  }
  if (!FORMATS.includes(header.format) || header.model !== model || header.part !== part) {
    throw new CompassError(`${what} is not what it should be, but part ${header.part} of ${header.model}, format ${header.format}`);
  }
  const content = await inflate(data.subarray(r.position), MOST_BYTES, what);
  const arrays = new Map<string, Tensor>();
  let at = 0;
  for (const [name, type, shape] of header.arrays) {
    const count = shape.reduce((product, side) => product * side, 1);
    const length = count * BYTES[type]!;
    if (at + length > content.length) throw new CompassError(`${what} is cut off`);
    arrays.set(name, { shape, values: unpacked(content.subarray(at, at + length), type, count) });
    at += length;
  }
  return new Weights(arrays, new Map(Object.entries(header.networks)));
}

/** Bytes that are stored by significance, as numbers. */
function unpacked(planes: Uint8Array, type: string, count: number): Numbers {
  const size = BYTES[type]!;
  const bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < size; plane++) {
    for (let i = 0; i < count; i++) bytes[i * size + plane] = planes[plane * count + i]!;
  }
  const { buffer } = bytes;
  switch (type) {
    case "float16":
      return halves(new Uint16Array(buffer));
    case "float32":
      return new Float32Array(buffer);
    case "float64":
      return new Float64Array(buffer);
    case "int8":
      return Float64Array.from(new Int8Array(buffer));
    case "int16":
      return Float64Array.from(new Int16Array(buffer));
    case "int32":
      return Float64Array.from(new Int32Array(buffer));
    default:
      throw new CompassError(`a model with arrays of ${type} cannot be read`);
  }
}

/** Half precision as single: by bits where the number is normal, since there are a million. */
function halves(half: Uint16Array): Float32Array {
  const single = new Float32Array(half.length);
  const bits = new Uint32Array(single.buffer);
  for (let n = 0; n < half.length; n++) {
    const h = half[n]!;
    const exponent = (h >> 10) & 31;
    if (exponent) bits[n] = ((h & 0x8000) << 16) | ((exponent + 112) << 23) | ((h & 1023) << 13);
    else single[n] = (h & 0x8000 ? -1 : 1) * (h & 1023) * 2 ** -24;
  }
  return single;
}
