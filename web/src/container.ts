// The container of docs/reference/format.md.

import { CompassError } from "./errors";
import { CutError, Reader, crc32 } from "./bytes";
import type { Size } from "./window";

const MAGIC = [0xcf, 0x43, 0x4d, 0x50];
const VERSION = 2;
const MOST_SIDE = 2 ** 20;
const MOST_QUALITY = 192;
const MOST_LAYERS = 32;
const MOST_BOXES = 64;
const MOST_BYTES = { layer: 2 ** 40, box: 2 ** 24 };
// Our own, of what is decoded: sums of positions of y in all layers, and those of one tile.
const MOST_POSITIONS = 2 ** 19; // 134 million pixels
const MOST_IN_TILE = 2 ** 14; // the encoder makes no more than 64x64
const MOST_PAYLOAD = 4096; // bytes for each of them; an encoder needs 2000 at most

export const CELL = 16; // pixels a side of a position of y

/** Bytes of a file, and what their CRC-32 must be. */
export interface Span {
  offset: number;
  length: number;
  crc: number;
}

export interface LayerEntry {
  width: number;
  height: number;
  /** In 1/32. */
  quality: number;
  payload: Span;
  alpha: Span | null;
  /** Bytes of the file up to the end of the layer. */
  end: number;
}

export interface Header {
  /** Hash of the model, in hexadecimal. */
  model: string;
  grey: boolean;
  alpha: boolean;
  /** Positions of a side of a tile, 0 for all of a layer. */
  tile: number;
  layers: LayerEntry[];
  /** Boxes in front of the layers, by their types. */
  boxes: Map<string, Span>;
}

/** The header of a file, or null if `data` holds too little of it. Throws CompassError if it is damaged. */
export function parseHeader(data: Uint8Array): Header | null {
  try {
    return parse(new Reader(data));
  } catch (error) {
    if (error instanceof CutError) return null;
    throw error;
  }
}

function parse(r: Reader): Header {
  const start = r.data.subarray(0, 4);
  if (MAGIC.some((byte, i) => i < start.length && start[i] !== byte)) throw new CompassError("this is not a COMPASS file");
  r.take(4);
  const version = r.byte();
  if (version !== VERSION) throw new CompassError(`the file has format version ${version}, this program reads version ${VERSION}`);
  const model = Array.from(r.take(4), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const [flags, count] = [r.byte(), r.byte()];
  const tile = flags & 8 ? 4 * r.byte() : 0;
  if (flags > 15 || count < 1 || count > MOST_LAYERS || (flags & 8 && !tile)) throw new CompassError("the header is damaged");
  const [fullWidth, fullHeight] = [r.varint(), r.varint()];
  const rows: Omit<LayerEntry, "end">[] = [];
  for (let i = 0; i < count; i++) {
    const packed = r.varint();
    const width = Math.floor(packed / 4);
    const height = packed % 2 ? r.varint() : Math.max(1, Math.floor((2 * width * fullHeight + fullWidth) / (2 * fullWidth)));
    const quality = Math.floor(packed / 2) % 2 ? r.byte() : rows[i - 1]?.quality;
    if (quality === undefined) throw new CompassError("the header is damaged: the first layer has no quality");
    const payload = { offset: 0, length: r.varint(), crc: r.word() };
    rows.push({ width, height, quality, payload, alpha: flags & 2 ? { offset: 0, length: r.varint(), crc: r.word() } : null });
  }
  const boxes: [string, Span][] = [];
  const boxCount = flags & 4 ? r.byte() : 0;
  if (boxCount > MOST_BOXES) throw new CompassError("the header is damaged: it lists too many boxes");
  for (let left = boxCount; left; left--) {
    boxes.push([String.fromCharCode(...r.take(4)), { offset: 0, length: r.varint(), crc: r.word() }]);
  }
  const checked = r.data.subarray(0, r.position);
  if (r.word() !== crc32(checked)) throw new CompassError("the header is damaged: its checksum does not match");
  check(rows, fullWidth, fullHeight);
  if (boxes.some(([, { length }]) => length > MOST_BYTES.box)) throw new CompassError("the header is damaged: a box is too long");
  let at = r.position;
  const place = (span: Span) => {
    span.offset = at;
    at += span.length;
  };
  boxes.forEach(([, span]) => place(span));
  const layers = rows.map((row) => {
    place(row.payload);
    if (row.alpha) place(row.alpha);
    return { ...row, end: at };
  });
  return { model, grey: (flags & 1) === 1, alpha: (flags & 2) === 2, tile, layers, boxes: new Map(boxes.reverse()) };
}

function check(rows: Omit<LayerEntry, "end">[], fullWidth: number, fullHeight: number): void {
  let [width, height] = [1, 1];
  for (const row of rows) {
    if (row.width < width || row.height < height || row.width > MOST_SIDE || row.height > MOST_SIDE || row.quality > MOST_QUALITY) {
      throw new CompassError("the header is damaged: a layer cannot have such a size or quality");
    }
    ({ width, height } = row);
  }
  if (rows.some(({ payload, alpha }) => payload.length > MOST_BYTES.layer || (alpha?.length ?? 0) > MOST_BYTES.layer)) {
    throw new CompassError("the header is damaged: a layer is too long");
  }
  if (width !== fullWidth || height !== fullHeight) throw new CompassError("the header is damaged: sizes do not match");
}

/** Rows and columns of y, for an image of this size. */
export function positionsOf({ height, width }: Size): Size {
  return { height: Math.ceil(height / CELL), width: Math.ceil(width / CELL) };
}

/** Throws CompassError if layers up to this one are more than is decoded here. */
export function checkEffort(header: Header, layer: number): void {
  let sum = 0;
  for (const entry of header.layers.slice(0, layer + 1)) {
    const { width, height, payload, alpha } = entry;
    const { height: rows, width: columns } = positionsOf(entry);
    const side = header.tile || Infinity;
    sum += rows * columns;
    const tooMany = sum > MOST_POSITIONS || Math.min(rows, side) * Math.min(columns, side) > MOST_IN_TILE;
    if (tooMany) throw new CompassError(`a layer of ${width}x${height} is more than is decoded here`);
    const most = MOST_PAYLOAD * (rows * columns + 1);
    if (payload.length > most || (alpha && alpha.length > 2 * CELL ** 2 * rows * columns + 1024)) {
      throw new CompassError("the header is damaged: a layer is longer than any encoder makes it");
    }
  }
}

/** A tile of the latent of a layer: where it begins, its size in positions, and its stream. */
export interface TileStream {
  top: number;
  left: number;
  height: number;
  width: number;
  stream: Uint8Array;
}

/** The streams of the tiles of a layer. Throws CompassError if the payload is damaged. */
export function tilesOf(layer: LayerEntry, payload: Uint8Array, tile: number): TileStream[] {
  const { height: rows, width: columns } = positionsOf(layer);
  const side = tile || Math.max(rows, columns);
  const tiles: Omit<TileStream, "stream">[] = [];
  for (let top = 0; top < rows; top += side) {
    for (let left = 0; left < columns; left += side) {
      tiles.push({ top, left, height: Math.min(side, rows - top), width: Math.min(side, columns - left) });
    }
  }
  if (tiles.length === 1) return [{ ...tiles[0]!, stream: payload }];
  const damaged = new CompassError("the file is damaged: the table of a layer's tiles is wrong");
  try {
    const r = new Reader(payload);
    const table = tiles.map(() => [r.varint(), r.word()] as const);
    const checked = payload.subarray(0, r.position);
    if (r.word() !== crc32(checked)) throw damaged;
    const found = tiles.map((place, i) => {
      const stream = r.take(table[i]![0]);
      if (crc32(stream) !== table[i]![1]) throw damaged;
      return { ...place, stream };
    });
    if (r.position !== payload.length) throw damaged;
    return found;
  } catch (error) {
    throw error instanceof CutError ? damaged : error;
  }
}
