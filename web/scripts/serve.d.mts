import type { IncomingMessage, Server, ServerResponse } from "node:http";

export interface ServeOptions {
  port?: number;
  /** Answers a request in the server's place, if it returns true. */
  before?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

export function serve(folder: string, options?: ServeOptions): Promise<{ address: string; server: Server }>;
