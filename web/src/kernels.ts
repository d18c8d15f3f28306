// The WebAssembly of assembly/index.ts and its memory: weights stay, everything else is taken from a stack.

import code from "../build/kernels";
import { CompassError } from "./errors";

/** An address in the memory. */
export type Pointer = number;
type Call = (...values: number[]) => number;

const PAGE = 65536;
const MOST_PAGES = 32768; // 2 GB

export class Kernels {
  private top = 1024;

  private constructor(
    private readonly memory: WebAssembly.Memory,
    readonly run: Record<string, Call>,
  ) {}

  static async create(): Promise<Kernels> {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: MOST_PAGES });
    const binary = Uint8Array.from(atob(code), (c) => c.charCodeAt(0));
    const { instance } = await WebAssembly.instantiate(binary, {
      env: { memory, abort: () => { throw new Error("abort"); } },
    });
    return new Kernels(memory, instance.exports as Record<string, Call>);
  }

  /** Bytes that are held at present. */
  get bytes(): number {
    return this.memory.buffer.byteLength;
  }

  /** Space for so many bytes, at a multiple of 16. Views of the memory that were made before are of no use then. */
  allocate(bytes: number): Pointer {
    const at = this.top;
    const top = Math.ceil((at + bytes) / 16) * 16;
    const lacking = top - this.memory.buffer.byteLength;
    if (lacking > 0) this.grow(lacking);
    this.top = top;
    return at;
  }

  private grow(bytes: number): void {
    try {
      this.memory.grow(Math.ceil(bytes / PAGE));
    } catch {
      throw new CompassError("there is not enough memory for a layer of this size");
    }
  }

  /** Runs something and takes back all that it has allocated. */
  scratch<T>(work: () => T): T {
    const before = this.top;
    try {
      return work();
    } finally {
      this.top = before;
    }
  }

  f32(at: Pointer, count: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, count);
  }

  f64(at: Pointer, count: number): Float64Array {
    return new Float64Array(this.memory.buffer, at, count);
  }

  i32(at: Pointer, count: number): Int32Array {
    return new Int32Array(this.memory.buffer, at, count);
  }

  u32(at: Pointer, count: number): Uint32Array {
    return new Uint32Array(this.memory.buffer, at, count);
  }

  u16(at: Pointer, count: number): Uint16Array {
    return new Uint16Array(this.memory.buffer, at, count);
  }

  u8(at: Pointer, count: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, count);
  }

  /** Copies numbers into new space. */
  putFloats(values: ArrayLike<number>): Pointer {
    const at = this.allocate(4 * values.length);
    this.f32(at, values.length).set(values);
    return at;
  }

  putDoubles(values: ArrayLike<number>): Pointer {
    const at = this.allocate(8 * values.length);
    this.f64(at, values.length).set(values);
    return at;
  }
}
