// From a stream to symbols, and to the latent y: docs/reference/format.md, "Payload" and "Which table".

import { exp } from "./elementary";
import { CompassError } from "./errors";
import { ExactNetwork, type Place, type Volume } from "./exact";
import type { Kernels, Pointer } from "./kernels";
import type { Weights } from "./model";

const UNIT = 1024; // 2^10
const LIMIT = 2 ** 23;
const QUALITY_STEPS = 32;
const TOP_QUALITY = 6;
const LEVELS = 64;
const PARTS = 1024; // of 2^24, for each of which the first index is kept

const PHASES: Record<number, Place[][]> = {
  1: [[[0, 0], [0, 1], [1, 0], [1, 1]]],
  2: [[[0, 0], [1, 1]], [[0, 1], [1, 0]]],
  4: [[[0, 0]], [[1, 1]], [[0, 1]], [[1, 0]]],
};

/** A frequency table in memory. */
interface Table {
  starts: Pointer;
  length: number;
  first: Pointer;
}

interface Group {
  channels: number;
  phases: Place[][];
  scales: ExactNetwork | null;
  phaseScales: ExactNetwork[];
  phaseMeans: ExactNetwork[];
}

/** What is found in one stream. */
export interface Latent {
  /** [positions of z][channels], in raster order. */
  hyperSymbols: Int32Array;
  /** [positions of y][channels]. */
  symbols: Int32Array;
  /** y, [positions][channels]. */
  values: Float32Array;
}

export class EntropyModel {
  readonly channels: number;
  readonly hyperChannels: number;
  private readonly hyperSynthesis: ExactNetwork;
  private readonly groups: Group[] = [];
  private readonly zTables: Table[];
  private readonly yTables: Table[];
  private readonly offsetTables: Table[];
  private readonly medians: ArrayLike<number>;
  private readonly scaleShift: ArrayLike<number>;
  private readonly logGain: ArrayLike<number>;
  private readonly magnitudes: Pointer;
  private readonly mostMagnitude: number;
  private readonly levels: Pointer;
  private readonly levelCount: number;
  private readonly leastScale: number;

  constructor(
    private readonly kernels: Kernels,
    weights: Weights,
  ) {
    const values = (name: string) => weights.get(name).values;
    this.medians = values("medians");
    this.scaleShift = values("scale_shift");
    this.logGain = values("log_gain");
    this.channels = weights.get("log_gain").shape[1]!;
    this.hyperChannels = this.medians.length;
    this.zTables = this.tables(values("z_frequencies"), values("z_lengths"));
    this.yTables = this.tables(values("y_frequencies"), values("y_lengths"));
    this.offsetTables = weights.find("offset_lengths") ? this.tables(values("offset_frequencies"), values("offset_lengths")) : [];
    this.hyperSynthesis = new ExactNetwork(kernels, weights, "hyper_synthesis");
    const pairs = weights.find("groups")?.values ?? [this.channels, 1];
    for (let g = 0; 2 * g < pairs.length; g++) {
      const phases = PHASES[pairs[2 * g + 1]!]!;
      const network = (name: string) => new ExactNetwork(kernels, weights, `groups.${g}.${name}`);
      const later = phases.slice(1).map((_, p) => p + 1);
      this.groups.push({
        channels: pairs[2 * g]!,
        phases,
        scales: g ? network("scales") : null,
        phaseScales: later.map((p) => network(`phase_scales.${p}`)),
        phaseMeans: later.map((p) => network(`phase_means.${p}`)),
      });
    }
    const magnitudes = weights.find("magnitudes")?.values ?? [0];
    this.magnitudes = kernels.putDoubles(Array.from(magnitudes, saturated));
    this.mostMagnitude = magnitudes.length - 1;
    const thresholds = values("thresholds");
    this.leastScale = thresholds[0]! - 1;
    this.levelCount = thresholds[LEVELS - 2]! - this.leastScale + 1;
    this.levels = kernels.allocate(this.levelCount);
    const levels = kernels.u8(this.levels, this.levelCount);
    for (let scale = 0, level = 0; scale < this.levelCount; scale++) {
      while (level < LEVELS - 1 && thresholds[level]! <= scale + this.leastScale) level++;
      levels[scale] = level;
    }
  }

  private tables(frequencies: ArrayLike<number>, lengths: ArrayLike<number>): Table[] {
    let at = 0;
    return Array.from(lengths, (length) => {
      const starts = this.kernels.allocate(4 * (length + 1));
      const first = this.kernels.allocate(2 * PARTS);
      const sums = this.kernels.u32(starts, length + 1);
      sums[0] = 0;
      for (let i = 0; i < length; i++) sums[i + 1] = sums[i]! + frequencies[at + i]!;
      const indices = this.kernels.u16(first, PARTS);
      for (let part = 0, index = 0; part < PARTS; part++) {
        while (sums[index + 1]! <= part * (2 ** 24 / PARTS)) index++;
        indices[part] = index;
      }
      at += length;
      return { starts, length, first };
    });
  }

  /** Decodes a stream; height, width: of y. Throws CompassError if it is damaged. */
  decode(stream: Uint8Array, height: number, width: number, quality: number): Latent {
    const { kernels, channels } = this;
    const count = height * width;
    const damaged = new CompassError("the file is damaged: a stream does not end where it should");
    if (stream.length > 16 + 6 * channels * count || stream[stream.length - 1] === 0) throw damaged;
    return kernels.scratch(() => {
      const words = Math.ceil(stream.length / 4);
      const at = kernels.allocate(4 * words + 4);
      kernels.u8(at, 4 * words).fill(0).set(stream);
      kernels.run.begin!(at, words);
      const [zHeight, zWidth] = [Math.ceil(height / 4), Math.ceil(width / 4)];
      const hyperSymbols = this.readHyper(zHeight * zWidth);
      const symbols = kernels.allocate(4 * count * channels);
      kernels.i32(symbols, count * channels).fill(0);
      const offsets = this.readOffsets();
      const [scales, means] = this.conditions(hyperSymbols, zHeight, zWidth, height, width, quality, offsets);
      this.readSteps(symbols, scales, means, height, width);
      if (!kernels.run.finished!()) throw damaged;
      const out = kernels.allocate(4 * count * channels);
      kernels.run.values!(symbols, means, kernels.putFloats(this.gains(quality)), channels, count, out);
      return {
        hyperSymbols,
        symbols: kernels.i32(symbols, count * channels).slice(),
        values: kernels.f32(out, count * channels).slice(),
      };
    });
  }

  private readHyper(count: number): Int32Array {
    const { kernels, hyperChannels } = this;
    return kernels.scratch(() => {
      const symbols = kernels.allocate(4 * count * hyperChannels);
      this.zTables.forEach((table, c) => this.readEvery(table, count, symbols + 4 * c, hyperChannels));
      return kernels.i32(symbols, count * hyperChannels).slice();
    });
  }

  /** Reads values with one table to every `step`th place from `symbols` on. */
  private readEvery(table: Table, count: number, symbols: Pointer, step: number): void {
    const { kernels } = this;
    kernels.scratch(() => {
      const [places, escapes] = [kernels.allocate(4 * count), kernels.allocate(count)];
      const indices = kernels.u32(places, count);
      for (let p = 0; p < count; p++) indices[p] = p * step;
      kernels.run.decode!(table.starts, table.length, table.first, places, count, symbols, escapes);
    });
  }

  /** Levels that are added to the scales of each channel. */
  private readOffsets(): Int32Array {
    const [choices, ...tables] = this.offsetTables;
    const choice = choices ? this.readRow(choices, 1)[0]! : 0;
    if (!choice) return new Int32Array(this.channels);
    const table = tables[choice - 1];
    if (!table) throw new CompassError("the file is damaged: it asks for a table that the model has not");
    return this.readRow(table, this.channels);
  }

  private readRow(table: Table, count: number): Int32Array {
    const { kernels } = this;
    return kernels.scratch(() => {
      const symbols = kernels.allocate(4 * count);
      this.readEvery(table, count, symbols, 1);
      return kernels.i32(symbols, count).slice();
    });
  }

  /** Scales and means [height][width][channels] as z has them, the quality's shift and the offsets added to the scales. */
  private conditions(
    hyperSymbols: Int32Array, zHeight: number, zWidth: number, height: number, width: number, quality: number,
    offsets: Int32Array,
  ): [Pointer, Pointer] {
    const { kernels, channels, hyperChannels } = this;
    const size = height * width * channels;
    const [scales, means] = [kernels.allocate(8 * size), kernels.allocate(8 * size)];
    kernels.scratch(() => {
      const z = Float64Array.from(hyperSymbols, (symbol, i) => saturated(symbol * UNIT + this.medians[i % hyperChannels]!));
      const input = { at: kernels.putDoubles(z), height: zHeight, width: zWidth, channels: hyperChannels };
      const found = this.hyperSynthesis.run(input);
      if (found.height < height || found.width < width || found.channels !== 2 * channels) {
        throw new CompassError("the model's hyper-synthesis has another size");
      }
      const both = kernels.f64(found.at, found.height * found.width * found.channels);
      const [toScales, toMeans] = [kernels.f64(scales, size), kernels.f64(means, size)];
      const { low, fraction } = split(quality);
      const shift = Float64Array.from({ length: channels }, (_, c) => {
        const [a, b] = [this.scaleShift[low * channels + c]!, this.scaleShift[(low + 1) * channels + c]!];
        const shift = Math.floor((a * (QUALITY_STEPS - fraction) + b * fraction + QUALITY_STEPS / 2) / QUALITY_STEPS);
        return shift + UNIT * offsets[c]!;
      });
      for (let y = 0, n = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const from = (y * found.width + x) * 2 * channels;
          for (let c = 0; c < channels; c++, n++) {
            toScales[n] = both[from + c]! + shift[c]!;
            toMeans[n] = both[from + channels + c]!;
          }
        }
      }
    });
    return [scales, means];
  }

  private readSteps(symbols: Pointer, scales: Pointer, means: Pointer, height: number, width: number): void {
    const { kernels, channels: total } = this;
    const { run } = kernels;
    const count = height * width;
    const [inPhase, done] = [kernels.allocate(count), kernels.allocate(count)];
    let start = 0;
    for (const group of this.groups) {
      const { channels } = group;
      const [ownSymbols, ownScales, ownMeans] = [symbols + 4 * start, scales + 8 * start, means + 8 * start];
      const magnitudes = (from: Pointer, seen: number): Volume => {
        const at = kernels.allocate(8 * count * seen);
        run.magnitudes!(from, total, seen, count, this.magnitudes, this.mostMagnitude, at);
        return { at, height, width, channels: seen };
      };
      const correct = (values: Pointer, by: Volume, [top, left]: Place, step: number) =>
        run.correct!(values, total, by.at, channels, height, width, top, left, step);
      if (group.scales) {
        kernels.scratch(() => correct(ownScales, group.scales!.run(magnitudes(symbols, start)), [0, 0], 1));
      }
      kernels.u8(done, count).fill(0);
      group.phases.forEach((places, phase) => {
        kernels.scratch(() => {
          if (phase) {
            const seen = magnitudes(ownSymbols, channels);
            const values = { ...seen, at: kernels.allocate(8 * count * channels) };
            run.readValues!(ownSymbols, ownMeans, total, channels, count, done, values.at);
            for (const place of places) {
              if (place[0] >= height || place[1] >= width) continue;
              kernels.scratch(() => {
                correct(ownScales, group.phaseScales[phase - 1]!.run(seen, place), place, 2);
                correct(ownMeans, group.phaseMeans[phase - 1]!.run(values, place), place, 2);
              });
            }
          }
          const here = kernels.u8(inPhase, count).fill(0);
          const read = kernels.u8(done, count);
          for (const [top, left] of places) {
            for (let y = top; y < height; y += 2) {
              for (let x = left; x < width; x += 2) here[y * width + x] = read[y * width + x] = 1;
            }
          }
          this.readStep(symbols, scales, start, start + channels, height, width, inPhase);
        });
      });
      start += channels;
    }
  }

  private readStep(
    symbols: Pointer, scales: Pointer, from: number, to: number, height: number, width: number, inPhase: Pointer,
  ): void {
    const { kernels } = this;
    const most = (to - from) * height * width;
    const [found, escapes, places] = [kernels.allocate(most), kernels.allocate(most), kernels.allocate(4 * most)];
    const ends = kernels.allocate(4 * LEVELS);
    kernels.run.sortByLevel!(
      scales, this.channels, from, to, height, width, inPhase, this.levels, this.leastScale, this.levelCount, found, ends, places,
    );
    let begin = 0;
    kernels.u32(ends, LEVELS).slice().forEach((end, level) => {
      const table = this.yTables[level]!;
      kernels.run.decode!(table.starts, table.length, table.first, places + 4 * begin, end - begin, symbols, escapes);
      begin = end;
    });
  }

  /** The gain of each channel at a quality. */
  private gains(quality: number): Float32Array {
    const { low, fraction } = split(quality);
    const part = fraction / QUALITY_STEPS;
    return Float32Array.from({ length: this.channels }, (_, c) => {
      const [a, b] = [this.logGain[low * this.channels + c]!, this.logGain[(low + 1) * this.channels + c]!];
      return exp(a * (1 - part) + b * part);
    });
  }
}

function split(quality: number): { low: number; fraction: number } {
  const low = Math.min(Math.floor(quality / QUALITY_STEPS), TOP_QUALITY - 1);
  return { low, fraction: quality - QUALITY_STEPS * low };
}

function saturated(value: number): number {
  return Math.max(-LIMIT, Math.min(LIMIT, value));
}
