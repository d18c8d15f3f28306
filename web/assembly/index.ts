// The arithmetic of the decoder, on plain memory: the caller lays it out (src/kernels.ts), nothing is allocated here.
//
// Images and features are [row][column][channel]. WebAssembly fixes the result of every instruction used here to the bit, so
// all browsers decode a file to the same pixels.

// What is done with a sum of products; 0: nothing.
const GATED: i32 = 1; // x * sigmoid(4 x)

const SHARE: i32 = 8; // output channels of a panel of weights

/** exp(x), to 2^-22 of it: 2^n times a polynomial of the rest. */
// @ts-ignore: decorator
@inline
function exp(x: v128): v128 {
  x = f32x4.min(f32x4.max(x, f32x4.splat(-87.0)), f32x4.splat(87.0));
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.4426950408889634)));
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.12194440e-4)));
  let p = f32x4.splat(1.9875691500e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1));
  p = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1.0));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return f32x4.mul(p, power);
}

// @ts-ignore: decorator
@inline
function gated(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1.0), exp(f32x4.mul(x, f32x4.splat(-4.0)))));
}

// @ts-ignore: decorator
@inline
function put(sum: v128, bias: usize, activation: i32, added: usize, out: usize): void {
  let value = f32x4.add(sum, v128.load(bias));
  if (activation == GATED) value = gated(value);
  if (added) value = f32x4.add(value, v128.load(added));
  v128.store(out, value);
}

/**
 * out[p] = added[p] + activation(weights x[p] + bias) for `count` positions p.
 *
 * x, out, added: floats, the next position `xStep`, `outStep`, `addedStep` bytes further; added may be 0, or out itself.
 * weights: panels of 8 output channels, in each of them 8 floats for every input; outputs: a multiple of 8.
 */
export function linear(
  x: usize, xStep: usize, inputs: i32, weights: usize, bias: usize, outputs: i32,
  activation: i32, added: usize, addedStep: usize, out: usize, outStep: usize, count: i32,
): void {
  let p: i32 = 0;
  for (; p + 6 <= count; p += 6) {
    const a = x + <usize>p * xStep;
    let w = weights;
    for (let o: i32 = 0; o < outputs; o += SHARE) {
      let s00 = f32x4.splat(0), s01 = f32x4.splat(0), s10 = f32x4.splat(0), s11 = f32x4.splat(0);
      let s20 = f32x4.splat(0), s21 = f32x4.splat(0), s30 = f32x4.splat(0), s31 = f32x4.splat(0);
      let s40 = f32x4.splat(0), s41 = f32x4.splat(0), s50 = f32x4.splat(0), s51 = f32x4.splat(0);
      let a0 = a;
      const end = a + (<usize>inputs << 2);
      const x2 = xStep + xStep, x3 = x2 + xStep, x4 = x3 + xStep, x5 = x4 + xStep;
      for (; a0 < end; a0 += 4) {
        const w0 = v128.load(w), w1 = v128.load(w, 16);
        let v = v128.load32_splat(a0);
        s00 = f32x4.add(s00, f32x4.mul(v, w0));
        s01 = f32x4.add(s01, f32x4.mul(v, w1));
        v = v128.load32_splat(a0 + xStep);
        s10 = f32x4.add(s10, f32x4.mul(v, w0));
        s11 = f32x4.add(s11, f32x4.mul(v, w1));
        v = v128.load32_splat(a0 + x2);
        s20 = f32x4.add(s20, f32x4.mul(v, w0));
        s21 = f32x4.add(s21, f32x4.mul(v, w1));
        v = v128.load32_splat(a0 + x3);
        s30 = f32x4.add(s30, f32x4.mul(v, w0));
        s31 = f32x4.add(s31, f32x4.mul(v, w1));
        v = v128.load32_splat(a0 + x4);
        s40 = f32x4.add(s40, f32x4.mul(v, w0));
        s41 = f32x4.add(s41, f32x4.mul(v, w1));
        v = v128.load32_splat(a0 + x5);
        s50 = f32x4.add(s50, f32x4.mul(v, w0));
        s51 = f32x4.add(s51, f32x4.mul(v, w1));
        w += 32;
      }
      const at = <usize>o << 2;
      let to = out + <usize>p * outStep + at;
      let with_ = added ? added + <usize>p * addedStep + at : 0;
      const step = added ? addedStep : 0;
      const half: usize = added ? 16 : 0;
      put(s00, bias + at, activation, with_, to);
      put(s01, bias + at + 16, activation, with_ + half, to + 16);
      to += outStep; with_ += step;
      put(s10, bias + at, activation, with_, to);
      put(s11, bias + at + 16, activation, with_ + half, to + 16);
      to += outStep; with_ += step;
      put(s20, bias + at, activation, with_, to);
      put(s21, bias + at + 16, activation, with_ + half, to + 16);
      to += outStep; with_ += step;
      put(s30, bias + at, activation, with_, to);
      put(s31, bias + at + 16, activation, with_ + half, to + 16);
      to += outStep; with_ += step;
      put(s40, bias + at, activation, with_, to);
      put(s41, bias + at + 16, activation, with_ + half, to + 16);
      to += outStep; with_ += step;
      put(s50, bias + at, activation, with_, to);
      put(s51, bias + at + 16, activation, with_ + half, to + 16);
    }
  }
  for (; p < count; p++) {
    let w = weights;
    const a = x + <usize>p * xStep, end = a + (<usize>inputs << 2);
    for (let o: i32 = 0; o < outputs; o += SHARE) {
      let s0 = f32x4.splat(0), s1 = f32x4.splat(0);
      for (let a0 = a; a0 < end; a0 += 4) {
        const v = v128.load32_splat(a0);
        s0 = f32x4.add(s0, f32x4.mul(v, v128.load(w)));
        s1 = f32x4.add(s1, f32x4.mul(v, v128.load(w, 16)));
        w += 32;
      }
      const at = <usize>o << 2, to = out + <usize>p * outStep + at;
      const with_ = added ? added + <usize>p * addedStep + at : 0;
      put(s0, bias + at, activation, with_, to);
      put(s1, bias + at + 16, activation, added ? with_ + 16 : 0, to + 16);
    }
  }
}

/** A 3x3 kernel of its own for each channel, zeros around; weights: [9][channels], channels: a multiple of 4. */
export function depthwise(x: usize, weights: usize, bias: usize, out: usize, height: i32, width: i32, channels: i32): void {
  const pixel = <usize>channels << 2, row = pixel * <usize>width;
  for (let y: i32 = 0; y < height; y++) {
    const first = y > 0 ? -1 : 0, last = y + 1 < height ? 1 : 0;
    for (let z: i32 = 0; z < width; z++) {
      const left = z > 0 ? -1 : 0, right = z + 1 < width ? 1 : 0;
      const here = x + <usize>y * row + <usize>z * pixel, to = out + <usize>y * row + <usize>z * pixel;
      for (let c: usize = 0; c < pixel; c += 16) {
        let sum = v128.load(bias + c);
        for (let i = first; i <= last; i++) {
          for (let j = left; j <= right; j++) {
            const tap = <usize>((i + 1) * 3 + j + 1) * pixel + c;
            const from = here + <usize>(<isize>i * <isize>row + <isize>j * <isize>pixel) + c;
            sum = f32x4.add(sum, f32x4.mul(v128.load(from), v128.load(weights + tap)));
          }
        }
        v128.store(to + c, sum);
      }
    }
  }
}

/** Neighbourhoods [height][width][9][channels] of 32-bit values, zeros around; channels: a multiple of 4. */
export function neighbourhoods(x: usize, out: usize, height: i32, width: i32, channels: i32): void {
  const pixel = <usize>channels << 2;
  for (let y: i32 = 0; y < height; y++) {
    for (let z: i32 = 0; z < width; z++) {
      for (let i: i32 = -1; i <= 1; i++) {
        for (let j: i32 = -1; j <= 1; j++) {
          const r = y + i, c = z + j;
          if (r >= 0 && r < height && c >= 0 && c < width) memory.copy(out, x + <usize>(r * width + c) * pixel, pixel);
          else memory.fill(out, 0, pixel);
          out += pixel;
        }
      }
    }
  }
}

/**
 * Cells of side x side pixels of an image [height][width][4], as features [rows][columns][3][side][side], 1/2 taken off.
 *
 * Beyond the image its last row and column are repeated. side: at most 8. step: bytes of a position of the features.
 */
export function toCells(image: usize, height: i32, width: i32, side: i32, out: usize, rows: i32, columns: i32, step: usize): void {
  for (let r: i32 = 0; r < rows; r++) {
    for (let c: i32 = 0; c < columns; c++) {
      for (let i: i32 = 0; i < side; i++) {
        const y = min(r * side + i, height - 1);
        for (let j: i32 = 0; j < side; j++) {
          const from = image + (<usize>(y * width + min(c * side + j, width - 1)) << 4);
          const to = out + (<usize>(i * side + j) << 2), plane = <usize>(side * side) << 2;
          store<f32>(to, load<f32>(from) - 0.5);
          store<f32>(to + plane, load<f32>(from, 4) - 0.5);
          store<f32>(to + 2 * plane, load<f32>(from, 8) - 0.5);
        }
      }
      out += step;
    }
  }
}

/**
 * The pixels of a row of cells of 8x8, features [cell][3][8][8], rounded: RGBA, four bytes each, opaque.
 *
 * added: what is added to the first pixel, four floats, and to the others of its rows, `addedStep` bytes apart; or 0. image: where
 * the first pixel goes, its rows `imageStep` bytes apart. Written are the first `height` rows and `width` columns. grey: all three
 * colours are their mean.
 */
export function fromCells(
  cells: usize, added: usize, addedStep: usize, image: usize, imageStep: usize, height: i32, width: i32, grey: i32,
): void {
  for (let y: i32 = 0; y < height; y++) {
    for (let x: i32 = 0; x < width; x++) {
      const cell = cells + <usize>(x >> 3) * 768 + (<usize>((y << 3) + (x & 7)) << 2);
      let r = load<f32>(cell), g = load<f32>(cell, 256), b = load<f32>(cell, 512);
      if (added) {
        const at = added + <usize>y * addedStep + (<usize>x << 4);
        r += load<f32>(at);
        g += load<f32>(at, 4);
        b += load<f32>(at, 8);
      }
      if (grey) {
        r = (r + g + b) / 3;
        g = r;
        b = r;
      }
      const pixel = image + <usize>y * imageStep + (<usize>x << 2);
      store<u8>(pixel, byte(r));
      store<u8>(pixel, byte(g), 1);
      store<u8>(pixel, byte(b), 2);
      store<u8>(pixel, 255, 3);
    }
  }
}

// @ts-ignore: decorator
@inline
function byte(value: f32): u8 {
  return <u8>nearest(min(max(value * 255, 0), 255));
}

/** RGBA bytes of `count` pixels as four floats each, from 0 to 1. */
export function toFloats(bytes: usize, out: usize, count: i32): void {
  for (let i: i32 = 0; i < count; i++) {
    const pixel = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(bytes + (<usize>i << 2))));
    v128.store(out + (<usize>i << 4), f32x4.div(f32x4.convert_i32x4_u(pixel), f32x4.splat(255)));
  }
}

/**
 * A weighted sum of `count` rows of `length` floats, a multiple of 4. rows: their addresses; taps: a float for each.
 */
export function mixRows(rows: usize, taps: usize, count: i32, length: i32, out: usize): void {
  for (let at: usize = 0; at < <usize>length << 2; at += 16) {
    let sum = f32x4.splat(0);
    for (let k: i32 = 0; k < count; k++) {
      const tap = v128.load32_splat(taps + (<usize>k << 2));
      sum = f32x4.add(sum, f32x4.mul(tap, v128.load(<usize>load<u32>(rows + (<usize>k << 2)) + at)));
    }
    v128.store(out + at, sum);
  }
}

/**
 * Coefficients [row][column][2 x 2 pixels][i][j][4] of pairs of rows and columns, as [row][i][column][j][4] of single ones.
 *
 * width: columns that are kept.
 */
export function spreadCoefficients(packed: usize, rows: i32, columns: i32, width: i32, rank: i32, out: usize): void {
  const line = <usize>rank << 4;
  for (let y: i32 = 0; y < 2 * rows; y++) {
    for (let i: i32 = 0; i < rank; i++) {
      for (let x: i32 = 0; x < width; x++) {
        const cell = ((y >> 1) * columns + (x >> 1)) * 4 + 2 * (y & 1) + (x & 1);
        memory.copy(out, packed + <usize>(cell * rank + i) * line, line);
        out += line;
      }
    }
  }
}

/**
 * One row of a prediction, four floats a pixel: bicubic of `image`, and taps on the coefficients of three neighbours.
 *
 * image: [columns][4], mixed of rows; coefficients: [columns][rank][4], mixed; index: [count][4] and near: [count][3],
 * columns as i32; cubic: [count][4], taps: [count][3][rank].
 */
export function mixColumns(
  image: usize, coefficients: usize, rank: i32, index: usize, cubic: usize, near: usize, taps: usize, out: usize, count: i32,
): void {
  const column = <usize>rank << 4;
  for (let x: i32 = 0; x < count; x++) {
    let sum = f32x4.splat(0);
    for (let k: i32 = 0; k < 4; k++) {
      const from = image + (<usize>load<i32>(index) << 4);
      sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(cubic), v128.load(from)));
      index += 4;
      cubic += 4;
    }
    for (let u: i32 = 0; u < 3; u++) {
      let from = coefficients + <usize>load<i32>(near) * column;
      near += 4;
      for (let j: i32 = 0; j < rank; j++) {
        sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(taps), v128.load(from)));
        from += 16;
        taps += 4;
      }
    }
    v128.store(out, sum);
    out += 16;
  }
}

// Integers, held in float64: sums stay below 2^53 (docs/reference/format.md).

const LIMIT: f64 = 8388608; // 2^23

/**
 * The integer convolution: out[p] = saturated((weights x[p] + bias + 2^13) / 2^14), for `count` positions.
 *
 * Float64 throughout; weights: panels of 4 output channels, in each of them 4 numbers for every input; outputs: a multiple of 4.
 */
export function exactLinear(
  x: usize, xStep: usize, inputs: i32, weights: usize, bias: usize, outputs: i32, out: usize, outStep: usize, count: i32,
): void {
  let p: i32 = 0;
  for (; p + 4 <= count; p += 4) {
    const a = x + <usize>p * xStep, end = a + (<usize>inputs << 3);
    const x2 = xStep + xStep, x3 = x2 + xStep;
    let w = weights;
    for (let o: i32 = 0; o < outputs; o += 4) {
      const at = <usize>o << 3;
      const b0 = v128.load(bias + at), b1 = v128.load(bias + at, 16);
      let s00 = b0, s01 = b1, s10 = b0, s11 = b1, s20 = b0, s21 = b1, s30 = b0, s31 = b1;
      for (let a0 = a; a0 < end; a0 += 8) {
        const w0 = v128.load(w), w1 = v128.load(w, 16);
        let v = v128.load64_splat(a0);
        s00 = f64x2.add(s00, f64x2.mul(v, w0));
        s01 = f64x2.add(s01, f64x2.mul(v, w1));
        v = v128.load64_splat(a0 + xStep);
        s10 = f64x2.add(s10, f64x2.mul(v, w0));
        s11 = f64x2.add(s11, f64x2.mul(v, w1));
        v = v128.load64_splat(a0 + x2);
        s20 = f64x2.add(s20, f64x2.mul(v, w0));
        s21 = f64x2.add(s21, f64x2.mul(v, w1));
        v = v128.load64_splat(a0 + x3);
        s30 = f64x2.add(s30, f64x2.mul(v, w0));
        s31 = f64x2.add(s31, f64x2.mul(v, w1));
        w += 32;
      }
      let to = out + <usize>p * outStep + at;
      putExact(s00, s01, to);
      to += outStep;
      putExact(s10, s11, to);
      to += outStep;
      putExact(s20, s21, to);
      to += outStep;
      putExact(s30, s31, to);
    }
  }
  for (; p < count; p++) {
    const a = x + <usize>p * xStep, end = a + (<usize>inputs << 3);
    let w = weights;
    for (let o: i32 = 0; o < outputs; o += 4) {
      const at = <usize>o << 3;
      let s0 = v128.load(bias + at), s1 = v128.load(bias + at, 16);
      for (let a0 = a; a0 < end; a0 += 8) {
        const v = v128.load64_splat(a0);
        s0 = f64x2.add(s0, f64x2.mul(v, v128.load(w)));
        s1 = f64x2.add(s1, f64x2.mul(v, v128.load(w, 16)));
        w += 32;
      }
      putExact(s0, s1, out + <usize>p * outStep + at);
    }
  }
}

// @ts-ignore: decorator
@inline
function putExact(low: v128, high: v128, out: usize): void {
  v128.store(out, rescaled(low));
  v128.store(out, rescaled(high), 16);
}

// @ts-ignore: decorator
@inline
function rescaled(sum: v128): v128 {
  const value = f64x2.floor(f64x2.mul(f64x2.add(sum, f64x2.splat(8192)), f64x2.splat(1.0 / 16384)));
  return f64x2.min(f64x2.max(value, f64x2.splat(-LIMIT)), f64x2.splat(LIMIT));
}

/** A leaky ReLU on `count` values: those below 0 become value * slope / 2^14, rounded down. */
export function exactLeaky(x: usize, slope: f64, count: i32): void {
  for (const end = x + (<usize>count << 3); x < end; x += 8) {
    const value = load<f64>(x);
    if (value < 0) store<f64>(x, Math.floor((value * slope) / 16384));
  }
}

/**
 * Neighbourhoods [rows][columns][k * k][channels] of float64 values around every `step`-th position from (top, left), zeros around.
 *
 * From a volume [height][width] with `pixelStep` bytes from one position to the next.
 */
export function exactNeighbourhoods(
  x: usize, pixelStep: usize, height: i32, width: i32, channels: i32, k: i32,
  top: i32, left: i32, step: i32, out: usize,
): void {
  const length = <usize>channels << 3, half = k >> 1;
  for (let y = top; y < height; y += step) {
    for (let z = left; z < width; z += step) {
      for (let i = y - half; i <= y + half; i++) {
        for (let j = z - half; j <= z + half; j++) {
          if (i >= 0 && i < height && j >= 0 && j < width) memory.copy(out, x + <usize>(i * width + j) * pixelStep, length);
          else memory.fill(out, 0, length);
          out += length;
        }
      }
    }
  }
}

/** m(s) of the symbols of `channels` channels at `count` positions, `total` channels apart: float64 [count][channels]. */
export function magnitudes(symbols: usize, total: i32, channels: i32, count: i32, table: usize, most: i32, out: usize): void {
  for (let p: i32 = 0; p < count; p++) {
    const from = symbols + (<usize>(p * total) << 2);
    for (let c: i32 = 0; c < channels; c++) {
      store<f64>(out, load<f64>(table + (<usize>min(abs(load<i32>(from + (<usize>c << 2))), most) << 3)));
      out += 8;
    }
  }
}

/** Where `done`, symbol * 2^10 + mean, saturated, elsewhere 0: float64 [count][channels]. */
export function readValues(symbols: usize, means: usize, total: i32, channels: i32, count: i32, done: usize, out: usize): void {
  for (let p: i32 = 0; p < count; p++) {
    const at = <usize>(p * total), there = load<u8>(done + p);
    for (let c: i32 = 0; c < channels; c++) {
      const symbol = <f64>load<i32>(symbols + (at + c << 2));
      const value = symbol * 1024 + load<f64>(means + (at + c << 3));
      store<f64>(out, there ? min(max(value, -LIMIT), LIMIT) : 0);
      out += 8;
    }
  }
}

/** Adds corrections [rows][columns][channels] at every `step`-th position from (top, left) of [height][width][total]. */
export function correct(
  values: usize, total: i32, corrections: usize, channels: i32, height: i32, width: i32, top: i32, left: i32, step: i32,
): void {
  for (let y = top; y < height; y += step) {
    for (let z = left; z < width; z += step) {
      const at = values + (<usize>((y * width + z) * total) << 3);
      for (let c: usize = 0; c < <usize>channels << 3; c += 8) {
        store<f64>(at + c, load<f64>(at + c) + load<f64>(corrections));
        corrections += 8;
      }
    }
  }
}

// Entropy decoding

let state: u64 = 0;
let words: usize = 0; // the first word of the stream
let next: usize = 0; // behind the one on top

/** Begins a stream: `count` 32-bit words. */
export function begin(stream: usize, count: i32): void {
  state = 0;
  words = stream;
  next = stream + (<usize>count << 2);
  refill();
  refill();
}

// @ts-ignore: decorator
@inline
function refill(): void {
  if (state < 0x100000000 && next > words) {
    next -= 4;
    state = (state << 32) | load<u32>(next);
  }
}

/** Whether all of the stream has been read, as it must be. */
export function finished(): i32 {
  return state == 0 && next == words ? 1 : 0;
}

function uniform(count: u32): u32 {
  const share: u32 = (1 << 24) / count, low = <u32>state & 0xffffff;
  const index = min(low / share, count - 1);
  const size = index < count - 1 ? share : (1 << 24) - share * (count - 1);
  state = (state >> 24) * size + low - index * share;
  refill();
  return index;
}

/**
 * Decodes `count` symbols with one table; `places` says where in `symbols` each of them goes.
 *
 * starts: `length` + 1 cumulative frequencies; first: for each of 1024 parts of 2^24, the index to look from.
 * escapes: space for `count` bytes.
 */
export function decode(starts: usize, length: i32, first: usize, places: usize, count: i32, symbols: usize, escapes: usize): void {
  const reach = (length >> 1) - 1;
  let escaped: i32 = 0;
  for (let n: i32 = 0; n < count; n++) {
    const low = <u32>state & 0xffffff;
    let index = <usize>load<u16>(first + (<usize>(low >> 14) << 1));
    while (load<u32>(starts + (index << 2), 4) <= low) index++;
    const start = load<u32>(starts + (index << 2));
    state = (state >> 24) * (load<u32>(starts + (index << 2), 4) - start) + (low - start);
    refill();
    const escape = <i32>index == length - 1;
    escaped += <i32>escape;
    store<u8>(escapes + n, <u8>escape);
    store<i32>(symbols + (<usize>load<u32>(places + (<usize>n << 2)) << 2), <i32>index - reach);
  }
  if (!escaped) return;
  for (let n: i32 = 0; n < count; n++) {
    if (load<u8>(escapes + n)) store<u8>(escapes + n, <u8>(uniform(22) + 1));
  }
  for (let c: u32 = 0; c < 22; c++) {
    for (let n: i32 = 0; n < count; n++) {
      if (load<u8>(escapes + n) != <u8>(c + 1)) continue;
      const value = <i32>((1 << c) - 1 + (c ? uniform(1 << c) : 0));
      const magnitude = reach + 1 + (value >> 1);
      store<i32>(symbols + (<usize>load<u32>(places + (<usize>n << 2)) << 2), value & 1 ? -magnitude : magnitude);
    }
  }
}

/**
 * Sorts the places of a step by the level of their scales.
 *
 * Places are those of channels `from` to `to`, in raster order, at the positions of [height][width][total] where inPhase, a byte
 * each, is not 0. levels: for each scale from `least` on, `most` of them; found: space for a byte a place. places: in coding order,
 * position * total + channel; ends [64]: where those of each level end.
 */
export function sortByLevel(
  scales: usize, total: i32, from: i32, to: i32, height: i32, width: i32, inPhase: usize,
  levels: usize, least: f64, most: i32, found: usize, ends: usize, places: usize,
): void {
  memory.fill(ends, 0, 64 << 2);
  let n: i32 = 0;
  for (let c = from; c < to; c++) {
    for (let p: i32 = 0; p < height * width; p++) {
      if (!load<u8>(inPhase + p)) continue;
      const scale = load<f64>(scales + (<usize>(p * total + c) << 3));
      const level = load<u8>(levels + <usize><i32>min(max(scale - least, 0), <f64>(most - 1)));
      store<u8>(found + n, level);
      const count = ends + (<usize>level << 2);
      store<u32>(count, load<u32>(count) + 1);
      n++;
    }
  }
  let start: u32 = 0;
  for (let level: usize = 0; level < 64 << 2; level += 4) {
    const count = load<u32>(ends + level);
    store<u32>(ends + level, start);
    start += count;
  }
  n = 0;
  for (let c = from; c < to; c++) {
    for (let p: i32 = 0; p < height * width; p++) {
      if (!load<u8>(inPhase + p)) continue;
      const next = ends + (<usize>load<u8>(found + n) << 2);
      const at = load<u32>(next);
      store<u32>(places + (<usize>at << 2), p * total + c);
      store<u32>(next, at + 1);
      n++;
    }
  }
}

/** y of symbols and means: (symbol + mean / 2^10) / gain, for [count][channels]. */
export function values(symbols: usize, means: usize, gains: usize, channels: i32, count: i32, out: usize): void {
  for (let p: i32 = 0; p < count; p++) {
    for (let c: i32 = 0; c < channels; c++) {
      const mean = <f32>(load<f64>(means) / 1024);
      store<f32>(out, (<f32>load<i32>(symbols) + mean) / load<f32>(gains + (<usize>c << 2)));
      symbols += 4;
      means += 8;
      out += 4;
    }
  }
}
