// What a page and its worker say to each other.

import type { FileInfo, FileSource } from "./file";
import type { Pixels } from "./picture";

/** A call, with its number. */
export type Request = { id: number } & (
  | { call: "open"; source: FileSource; models: string }
  | { call: "prepare"; file: number; layer: number }
  | { call: "decode"; file: number; layer: number }
  | { call: "received"; file: number }
  | { call: "close"; file: number }
  /** There is a helper at the end of the port that comes with this; all of them are lost; help whoever is at the end of the port. */
  | { call: "helper" }
  | { call: "helpersLost" }
  | { call: "help" }
  | { call: "stop"; what: number }
);

/** What a call gave: an opened file is known by the number of its call. */
export type Answer = { id: number } & (
  | { result: FileInfo | Pixels | number | null }
  | { error: { name: string; message: string } }
);
