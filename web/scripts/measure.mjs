// Figures of the decoder for browsers, as JSON: node scripts/measure.mjs FOLDER MODELS. Called by benchmarks/product/web.py.
//
// FOLDER has NAME.cmps, NAME.K.rgb of each layer as Python decodes it, and NAME.json with a digest of its symbols.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { createServer } from "vite";
import { launch } from "./chromium.mjs";
import { serve } from "./serve.mjs";

const RUNS = 7;
const WEB = fileURLToPath(new URL("../", import.meta.url));
const [, , folder, MODELS] = process.argv;
const names = readdirSync(folder).filter((name) => name.endsWith(".cmps")).map((name) => name.slice(0, -5)).sort();

/** Samples of RGBA that are not those of RGB: how many, and by how much at most. */
function differences(rgba, rgb) {
  let [count, most] = [0, 0];
  for (let n = 0, at = 0; n < rgb.length; n += 3, at += 4) {
    for (let c = 0; c < 3; c++) {
      const difference = Math.abs(rgba[at + c] - rgb[n + c]);
      count += difference > 0;
      most = Math.max(most, difference);
    }
  }
  return { samples: rgb.length, differing: count, most };
}

/** SHA-256 over symbols [channel][position] as int32. */
function digestOf(hash, symbols, channels) {
  const ordered = new Int32Array(symbols.length);
  const count = symbols.length / channels;
  for (let n = 0; n < symbols.length; n++) ordered[(n % channels) * count + Math.floor(n / channels)] = symbols[n];
  hash.update(Buffer.from(ordered.buffer));
}

async function inNode() {
  const vite = await createServer({ root: WEB, server: { middlewareMode: true }, logLevel: "error" });
  const { Codec } = await vite.ssrLoadModule("/src/codec.ts");
  const { Decoder } = await vite.ssrLoadModule("/src/decoder.ts");
  const { MemorySource } = await vite.ssrLoadModule("/src/source.ts");
  let codec;
  const files = [];
  for (const name of names) {
    const decoder = await Decoder.open(new MemorySource(readFileSync(`${folder}/${name}.cmps`)));
    codec ??= await Codec.create(decoder.header.model, async (part) => readFileSync(`${MODELS}/${part}`));
    const expected = JSON.parse(readFileSync(`${folder}/${name}.json`, "utf8"));
    const layers = [];
    for (const [k, { symbols }] of expected.entries()) {
      const hash = createHash("sha256");
      const watch = (layer, _, latent, { height, width }) => {
        if (layer !== k) return;
        digestOf(hash, latent.hyperSymbols, latent.hyperSymbols.length / (Math.ceil(height / 4) * Math.ceil(width / 4)));
        digestOf(hash, latent.symbols, latent.symbols.length / (height * width));
      };
      const pixels = await decoder.decode(k, codec, { watch });
      layers.push({ symbolsEqual: hash.digest("hex") === symbols, ...differences(pixels.data, readFileSync(`${folder}/${name}.${k}.rgb`)) });
      pixelsOfNode.set(`${name}.${k}`, createHash("sha256").update(pixels.data).digest("hex"));
    }
    files.push({ name, layers });
  }
  await vite.close();
  return { files, megabytes: codec.kernels.bytes / 1e6 };
}

const pixelsOfNode = new Map();

async function inChromium() {
  let sent = 0; // bytes
  const page = `<!doctype html><script type="module">
    import * as compass from "/dist/compass-image.js";
    window.compass = compass;
    window.seen = [];
    const element = document.querySelector("compass-image");
    element.addEventListener("layer", () => window.seen.push(performance.now()));
    element.addEventListener("load", () => (window.loaded = true));
  </script><compass-image src="/files/NAME.cmps" models="/models/"></compass-image>`;
  const [script, pictures, models] = await Promise.all([serve(WEB), serve(folder), serve(MODELS)]);
  const before = (request, response) => {
    const [, name] = /^\/page\/(.*)$/.exec(request.url) ?? [];
    if (name) response.writeHead(200, { "content-type": "text/html" }).end(page.replace("NAME", name));
    else void passOn(request, response);
    return true;
  };
  const passOn = async ({ url, headers: { range } }, response) => {
    const [, place, name] = /^\/(files|models)\/(.*)$/.exec(url) ?? [];
    const [from, path] = place ? [place === "files" ? pictures : models, name] : [script, url.slice(1)];
    const got = await fetch(new URL(path, from.address), { headers: range ? { range } : {} });
    const body = Buffer.from(await got.arrayBuffer());
    sent += body.length;
    const kept = ["content-type", "content-range", "etag"].filter((name) => got.headers.has(name));
    response.writeHead(got.status, Object.fromEntries(kept.map((name) => [name, got.headers.get(name)]))).end(body);
  };
  const { address, server } = await serve(WEB, { before });
  const browser = await launch();
  const version = browser.version();
  const first = names[0];
  const cold = [];
  const warm = [];
  for (let run = 0; run < RUNS; run++) {
    const context = await browser.newContext();
    const tab = await context.newPage();
    sent = 0;
    await tab.goto(`${address}page/${first}`);
    await tab.waitForFunction(() => window.loaded);
    cold.push({ milliseconds: await tab.evaluate(() => window.seen), bytes: sent });
    warm.push(
      await tab.evaluate(async (url) => {
        const file = await window.compass.open(url, { models: "/models/" });
        const times = [];
        for (const { index } of file.info.layers) {
          const started = performance.now();
          await file.decode({ layer: index });
          times.push(performance.now() - started);
        }
        return times;
      }, `/files/${first}.cmps`),
    );
    await context.close();
  }
  const tab = await browser.newPage();
  await tab.goto(`${address}page/${first}`);
  await tab.waitForFunction(() => window.loaded);
  let [compared, unequal] = [0, 0];
  for (const name of names) {
    for (let k = 0; pixelsOfNode.has(`${name}.${k}`); k++) {
      const found = await tab.evaluate(
        async ({ url, layer }) => {
          const file = await window.compass.open(url, { models: "/models/" });
          const { data } = await file.decode({ layer });
          return Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", data)), (b) => b.toString(16).padStart(2, "0")).join("");
        },
        { url: `/files/${name}.cmps`, layer: k },
      );
      compared += 1;
      unequal += found !== pixelsOfNode.get(`${name}.${k}`);
    }
  }
  await browser.close();
  for (const each of [server, script.server, pictures.server, models.server]) each.close();
  const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  return {
    version,
    file: first,
    runs: RUNS,
    cold: cold[0].milliseconds.map((_, k) => median(cold.map(({ milliseconds }) => milliseconds[k]))),
    coldBytes: median(cold.map(({ bytes }) => bytes)),
    warm: warm[0].map((_, k) => median(warm.map((times) => times[k]))),
    layersCompared: compared,
    layersUnequal: unequal,
  };
}

function sizes() {
  const brotli = (data) => brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
  const script = readFileSync(`${WEB}dist/compass-image.js`);
  const models = readdirSync(MODELS).map((name) => {
    const data = readFileSync(`${MODELS}/${name}`);
    return { name, bytes: data.length, brotli: brotli(data) };
  });
  return { script: { bytes: script.length, brotli: brotli(script) }, wasm: readFileSync(`${WEB}build/kernels.wasm`).length, models };
}

const node = await inNode();
console.log(JSON.stringify({ sizes: sizes(), node, chromium: await inChromium() }));
