// A web server of a folder that knows byte ranges: node scripts/serve.mjs [FOLDER] [PORT]. For trying things out, not for the world.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { pathToFileURL } from "node:url";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css",
  ".json": "application/json",
  ".cmps": "image/x-compass",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".avif": "image/avif",
};

/** Listens on a free port, or the one given; resolves to its address and the server. */
export async function serve(folder, { port = 0, before = () => false } = {}) {
  const server = createServer((request, response) => {
    if (before(request, response)) return;
    answer(folder, request, response).catch(() => response.writeHead(500).end());
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${server.address().port}/`, server };
}

async function answer(folder, request, response) {
  const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  let name = join(folder, normalize(path));
  if (path.endsWith("/")) name = join(name, "index.html");
  const found = await stat(name).catch(() => null);
  if (!found?.isFile()) return response.writeHead(404).end();
  const headers = {
    "content-type": TYPES[extname(name)] ?? "application/octet-stream",
    "accept-ranges": "bytes",
    etag: `"${found.mtimeMs.toString(16)}-${found.size.toString(16)}"`,
  };
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  if (first === undefined) {
    response.writeHead(200, { ...headers, "content-length": found.size });
    return createReadStream(name).pipe(response);
  }
  const start = Number(first);
  const end = Math.min(last ? Number(last) : found.size - 1, found.size - 1);
  if (start > end) return response.writeHead(416, { "content-range": `bytes */${found.size}` }).end();
  response.writeHead(206, { ...headers, "content-range": `bytes ${start}-${end}/${found.size}`, "content-length": end - start + 1 });
  return createReadStream(name, { start, end }).pipe(response);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { address } = await serve(process.argv[2] ?? ".", { port: Number(process.argv[3] ?? 8000) });
  console.log(`${address} (Ctrl-C ends it)`);
}
