// Where the bytes of a file come from.

import { CompassError } from "./errors";

export interface Source {
  /** So many bytes from a position on, fewer where the file ends. */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
}

export class MemorySource implements Source {
  constructor(private readonly data: Uint8Array) {}

  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.data.subarray(offset, offset + length);
  }
}

/** A file on a web server: only the bytes that are asked for, or all of it from a server that knows no ranges. */
export class UrlSource implements Source {
  /** Bytes that came over the wire. */
  received = 0;
  private head: Uint8Array = new Uint8Array(); // the first bytes, as many as came with the header
  private whole: Uint8Array | null = null;
  private version: string | null = null;

  constructor(private readonly url: string) {}

  async read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    const known = this.head.subarray(offset, offset + length);
    if (known.length === length) return known;
    const rest = await this.fetched(offset + known.length, length - known.length, signal);
    const data = new Uint8Array(known.length + rest.length);
    data.set(known);
    data.set(rest, known.length);
    if (offset === 0) this.head = data;
    return data;
  }

  private async fetched(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (!this.whole) {
      const response = await this.request(`bytes=${offset}-${offset + length - 1}`, signal);
      if (response.status === 416) return new Uint8Array(); // behind the end
      if (!response.ok) throw new CompassError(`${this.url} cannot be read: the server says ${response.status} ${response.statusText}`);
      const version = response.headers.get("etag") ?? response.headers.get("last-modified");
      if (this.version !== null && version !== this.version) throw new CompassError(`${this.url} has changed while it was read`);
      this.version = version;
      const data = await this.body(response);
      this.received += data.length;
      if (response.status === 206) return data.subarray(0, length);
      this.whole = data;
    }
    return this.whole?.subarray(offset, offset + length) ?? new Uint8Array();
  }

  private async request(range: string, signal?: AbortSignal): Promise<Response> {
    try {
      return await fetch(this.url, { headers: { range }, signal: signal ?? null });
    } catch (error) {
      signal?.throwIfAborted();
      throw new CompassError(`${this.url} cannot be read: ${(error as Error).message}`);
    }
  }

  private async body(response: Response): Promise<Uint8Array> {
    try {
      return new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      if ((error as Error).name === "AbortError") throw error;
      throw new CompassError(`${this.url} was cut off in transit`);
    }
  }
}
