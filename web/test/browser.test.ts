// In headless Chromium: the built script, its worker, the element.

import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { IncomingMessage, Server } from "node:http";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { open } from "../src/api";
import { CHROMIUM, launch } from "../scripts/chromium.mjs";
import { serve } from "../scripts/serve.mjs";
import type * as Compass from "../src/index";

declare global {
  interface Window {
    compass: typeof Compass;
    seen: { layer: number; bytes: number; width: number }[];
    done: Promise<string>;
  }
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const MODELS = new URL("models/", import.meta.url);
const SHIPPED = readdirSync(new URL("../models/", import.meta.url)).find((name) => name.endsWith("-base.bin"))!.slice(0, 8);
const FAST = `conformance/fast-${SHIPPED}.cmps`;

describe.skipIf(!existsSync(CHROMIUM))("in Chromium", () => {
  let browser: Browser;
  let page: Page;
  let address: string;
  let server: Server;
  let requests: { url: string; range: string | undefined }[] = [];

  beforeAll(async () => {
    const before = (request: IncomingMessage) => {
      requests.push({ url: request.url!, range: request.headers.range });
      return false;
    };
    ({ address, server } = await serve(ROOT, { before }));
    browser = await launch();
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  beforeEach(async () => {
    page = await browser.newPage({ viewport: { width: 800, height: 600 }, deviceScaleFactor: 1 });
    await page.goto(`${address}web/test/page.html`);
    await page.waitForFunction(() => "compass" in window);
    requests = [];
  });

  test("pixels of all layers are those of Node, to the bit", async () => {
    const here = await open(new Uint8Array(await readFile(ROOT + FAST)), { models: MODELS, worker: false, load: fromDisk });
    for (const layer of here.info.layers) {
      const expected = await here.decode({ layer: layer.index });
      for (const worker of [true, false]) {
        const found = await page.evaluate(
          async ({ url, layer, worker }) => {
            const file = await window.compass.open(url, { models: "/web/test/models/", worker });
            return Array.from((await file.decode({ layer })).data);
          },
          { url: `/${FAST}`, layer: layer.index, worker },
        );
        expect(Uint8ClampedArray.from(found)).toEqual(expected.data);
      }
    }
  });

  test("a large image is decoded by several workers, to the same pixels", async () => {
    const name = "web/test/large.cmps";
    const here = await open(new Uint8Array(await readFile(ROOT + name)), { worker: false, load: fromDisk });
    const expected = await here.decode();
    expect(expected.width * expected.height).toBeGreaterThan(300_000);
    for (const threads of [1, 2, 3]) {
      const digest = await page.evaluate(
        async ({ url, threads }) => {
          const { data } = await window.compass.decode(url, { models: "/web/test/models/", threads });
          return Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", data)));
        },
        { url: `/${name}`, threads },
      );
      expect(digest).toEqual(Array.from(createHash("sha256").update(expected.data).digest()));
    }
    expect(page.workers()).toHaveLength(3);
  });

  test("large images that are decoded at the same time keep their own pixels", async () => {
    const name = "web/test/large.cmps";
    const large = await (await open(new Uint8Array(await readFile(ROOT + name)), { worker: false, load: fromDisk })).decode();
    const fast = await (await open(new Uint8Array(await readFile(ROOT + FAST)), { worker: false, load: fromDisk })).decode();
    const digests = await page.evaluate(async (urls) => {
      const images = urls.map((url) => window.compass.decode(url, { models: "/web/test/models/", threads: 3 }));
      const hashed = images.map(async (image) => crypto.subtle.digest("SHA-256", (await image).data));
      return (await Promise.all(hashed)).map((digest) => Array.from(new Uint8Array(digest)));
    }, [`/${name}`, `/${name}?1`, `/${FAST}`, `/${name}?2`]);
    const expected = [large, large, fast, large].map(({ data }) => Array.from(createHash("sha256").update(data).digest()));
    expect(digests).toEqual(expected);
  });

  test("what is stopped or closed does not hinder the next", async () => {
    const outcomes = await page.evaluate(async (url) => {
      const file = await window.compass.open(url, { models: "/web/test/models/", threads: 3 });
      const stop = new AbortController();
      const first = file.decode({ signal: stop.signal }).catch((error: Error) => error.name);
      setTimeout(() => stop.abort(), 40);
      const second = file.decode().then(({ width }) => String(width));
      const third = await Promise.all([first, second]);
      file.close();
      const other = await window.compass.open(url, { models: "/web/test/models/" });
      const running = other.decode().catch((error: Error) => error.name);
      setTimeout(() => other.close(), 20);
      return [...third, await running, await file.decode().catch((error: Error) => `${error.name}: ${error.message}`)];
    }, "/web/test/large.cmps");
    expect(outcomes.slice(1)).toEqual(["720", "AbortError", "CompassError: the file is closed, or the decoder has stopped since it was opened"]);
  });

  test("a grey profile is followed", async () => {
    const values = await page.evaluate(async () => {
      const file = await window.compass.open("/web/test/grey.cmps", { models: "/web/test/models/" });
      const bitmap = await file.bitmap(await file.decode());
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext("2d")!;
      context.drawImage(bitmap, 0, 0);
      return Array.from(context.getImageData(8, 8, 1, 1).data);
    });
    expect(Math.abs(values[0]! - 137)).toBeLessThanOrEqual(4); // 64 of linear light, by LittleCMS
  });

  test("attributes may come in any order, and what is wrong is said once", async () => {
    await page.evaluate((url) => {
      const element = document.createElement("compass-image");
      element.setAttribute("models", "/web/test/models/");
      document.body.replaceChildren(element);
      element.setAttribute("loading", "lazy");
      element.src = url;
      window.done = new Promise((resolve) => element.addEventListener("load", () => resolve("load")));
    }, `/${FAST}`);
    expect(await page.evaluate(() => window.done)).toBe("load");
    const errors = await page.evaluate(async () => {
      const element = document.querySelector("compass-image")!;
      let count = 0;
      element.addEventListener("error", () => count++);
      element.setAttribute("models", "/nowhere/");
      for (const width of [30, 35, 40, 45]) {
        element.setAttribute("width", String(width));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      const canvas = element.shadowRoot!.querySelector("canvas")!;
      element.removeAttribute("src");
      element.setAttribute("alt", "");
      return [count, element.getAttribute("role"), canvas.width];
    });
    expect(errors.slice(0, 2)).toEqual([1, "presentation"]);
  });

  test("the element shows every layer, and only asks for the bytes that it needs", async () => {
    const shown = await show(page, `<compass-image src="/${FAST}" models="/web/test/models/" alt="parrots"></compass-image>`);
    expect(shown.outcome).toBe("load");
    const file = await open(new Uint8Array(await readFile(ROOT + FAST)), { worker: false, load: fromDisk });
    expect(shown.seen.map(({ layer, width }) => [layer, width])).toEqual(file.info.layers.map(({ index, width }) => [index, width]));
    const element = page.locator("compass-image");
    expect(await element.getAttribute("aria-label")).toBe("parrots");
    expect(await element.boundingBox()).toMatchObject({ width: file.info.width, height: file.info.height });
    expect(requests.filter(({ url }) => url.endsWith(".cmps")).every(({ range }) => range)).toBe(true);
    const drawn = await page.screenshot({ clip: (await element.boundingBox())! });
    expect(drawn.length).toBeGreaterThan(1000);
  });

  test("a small element takes a small layer, and a larger one when it grows", async () => {
    const file = await open(new Uint8Array(await readFile(ROOT + FAST)), { worker: false, load: fromDisk });
    const [small, large] = file.info.layers;
    const shown = await show(page, `<compass-image src="/${FAST}" models="/web/test/models/" width="${small!.width}"></compass-image>`);
    expect(shown.seen.map(({ layer }) => layer)).toEqual([0]);
    expect(requests.some(({ url }) => url.includes("residual"))).toBe(false);
    await page.evaluate((width) => document.querySelector("compass-image")!.setAttribute("width", String(width)), large!.width);
    await page.waitForFunction(() => window.seen.length === 2);
  });

  test("errors are told in a sentence", async () => {
    const models = 'models="/web/test/models/"';
    expect((await show(page, `<compass-image src="/web/none.cmps" ${models}></compass-image>`)).outcome).toMatch(/none\.cmps cannot be read: the server says 404/);
    expect((await show(page, `<compass-image src="/README.md" ${models}></compass-image>`)).outcome).toBe("this is not a COMPASS file");
    expect((await show(page, `<compass-image src="/${FAST}" models="/nowhere/"></compass-image>`)).outcome).toMatch(/the model [0-9a-f]{8} cannot be loaded/);
  });

  test("another source takes the place of one that is being decoded", async () => {
    await page.setContent("");
    const widths = await page.evaluate(async (url) => {
      const element = document.createElement("compass-image");
      element.setAttribute("models", "/web/test/models/");
      element.src = url;
      document.body.append(element);
      await new Promise((resolve) => setTimeout(resolve, 30));
      element.src = "/conformance/ladder.cmps";
      await new Promise((resolve) => element.addEventListener("load", resolve, { once: true }));
      await new Promise((resolve) => setTimeout(resolve, 300));
      return element.shadowRoot!.querySelector("canvas")!.width;
    }, `/${FAST}`);
    const ladder = await open(new Uint8Array(await readFile(`${ROOT}conformance/ladder.cmps`)), { worker: false, load: fromDisk });
    expect(ladder.info.layers.map(({ width }) => width)).toContain(widths);
  });

  test("an element that waits for the screen loads nothing before", async () => {
    await page.setContent(`<div style="height: 5000px"></div><compass-image loading="lazy" src="/${FAST}" models="/web/test/models/"></compass-image>`);
    await page.waitForTimeout(300);
    expect(requests.some(({ url }) => url.endsWith(".cmps"))).toBe(false);
    await page.evaluate(() => {
      window.done = new Promise((resolve) => document.querySelector("compass-image")!.addEventListener("load", () => resolve("load")));
      window.scrollTo(0, 5000);
    });
    expect(await page.evaluate(() => window.done)).toBe("load");
  });

  test("colours are those of the profile", async () => {
    const [red, green, blue] = await page.evaluate(async () => {
      const file = await window.compass.open("/web/test/wide.cmps", { models: "/web/test/models/" });
      const bitmap = await file.bitmap(await file.decode());
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext("2d")!;
      context.drawImage(bitmap, 0, 0);
      return Array.from(context.getImageData(20, 20, 1, 1).data);
    });
    for (const [found, expected] of [[red, WIDE[0]], [green, WIDE[1]], [blue, WIDE[2]]]) expect(Math.abs(found! - expected!)).toBeLessThanOrEqual(3);
  });

  test("decoding stops when told to", async () => {
    const name = await page.evaluate(async (url) => {
      const file = await window.compass.open(url, { models: "/web/test/models/" });
      const stop = new AbortController();
      const decoding = file.decode({ signal: stop.signal });
      setTimeout(() => stop.abort(), 5);
      return decoding.then(() => "done", (error: Error) => error.name);
    }, `/${FAST}`);
    expect(name).toBe("AbortError");
  });
});

const WIDE = [228, 61, 30]; // what LittleCMS makes of the same pixel

async function fromDisk(name: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(new URL(name, MODELS)));
}

/** Puts an element into the page and waits until it has loaded or failed. */
async function show(page: Page, html: string): Promise<{ outcome: string; seen: Window["seen"] }> {
  await page.evaluate((html) => {
    window.seen = [];
    const box = document.createElement("div");
    box.innerHTML = html; // the element starts when it is in the page
    const element = box.firstElementChild as HTMLElement;
    element.addEventListener("layer", (event) => {
      const { layer, bytes } = (event as CustomEvent).detail;
      window.seen.push({ layer: layer.index, bytes, width: layer.width });
    });
    window.done = new Promise((resolve) => {
      element.addEventListener("load", () => resolve("load"), { once: true });
      element.addEventListener("error", (event) => resolve((event as unknown as CustomEvent).detail), { once: true });
    });
    document.body.replaceChildren(element);
  }, html);
  return page.evaluate(async () => ({ outcome: await window.done, seen: window.seen }));
}
