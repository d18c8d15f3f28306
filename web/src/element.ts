/**
 * `<compass-image src="photo.cmps" alt="..." width="800">`: shows the small layer at once, then sharper ones.
 *
 * The layer is the smallest that fills the element at the screen's resolution. Attributes: `src`, `alt`, `width`, `height`, `models`
 * (folder of the model files), `loading="lazy"` (waits until it comes near the screen). Events: `layer` for each layer that is
 * shown ({ layer, bytes, milliseconds } in `detail`), `load` after the last, `error` with a sentence in `detail`.
 */

import { open, type CompassFile } from "./api";

const Element = globalThis.HTMLElement ?? class {}; // there is none where no page is

export class CompassImage extends Element {
  static readonly observedAttributes = ["src", "alt", "width", "height", "models", "loading"];

  get src(): string {
    return this.getAttribute("src") ?? "";
  }

  set src(url: string) {
    this.setAttribute("src", url);
  }

  private readonly canvas = document.createElement("canvas");
  private readonly style_ = document.createElement("style");
  private stop: AbortController | null = null;
  private file: CompassFile | null = null;
  private shown = -1;
  private showing: AbortController | null = null; // of the file whose layers are being decoded
  private near = false;
  private readonly sizes = new ResizeObserver(() => void this.sharpen());
  private readonly nearness = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    this.near = true;
    void this.start();
  }, { rootMargin: "50%" });

  constructor() {
    super();
    this.canvas.setAttribute("part", "canvas");
    this.attachShadow({ mode: "open" }).append(this.style_, this.canvas);
  }

  connectedCallback(): void {
    if (!this.hasAttribute("role")) this.setAttribute("role", "img");
    this.layOut();
    this.sizes.observe(this);
    if (this.getAttribute("loading") === "lazy") this.nearness.observe(this);
    else void this.start();
  }

  disconnectedCallback(): void {
    this.sizes.disconnect();
    this.nearness.disconnect();
    this.end();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.isConnected || before === after) return;
    this.layOut();
    if (name === "src" || name === "models") {
      this.end();
      void this.start();
    }
  }

  private layOut(): void {
    const [width, height] = ["width", "height"].map((name) => Number(this.getAttribute(name)) || null);
    const size = this.file?.info;
    const ratio = width && height ? `${width} / ${height}` : size ? `${size.width} / ${size.height}` : "auto";
    this.style_.textContent = `
      :host { display: inline-block; max-width: 100%; ${width ? `width: ${width}px;` : size ? `width: ${size.width}px;` : ""} aspect-ratio: ${ratio}; }
      canvas { display: block; width: 100%; height: 100%; }`;
    this.setAttribute("aria-label", this.getAttribute("alt") ?? "");
  }

  private end(): void {
    this.stop?.abort();
    this.stop = null;
    this.file?.close();
    this.file = null;
    this.shown = -1;
  }

  private async start(): Promise<void> {
    const src = this.getAttribute("src");
    if (!src || this.stop || (this.getAttribute("loading") === "lazy" && !this.near)) return;
    const stop = (this.stop = new AbortController());
    try {
      const models = this.getAttribute("models");
      const file = await open(src, { signal: stop.signal, ...(models && { models: new URL(models, document.baseURI) }) });
      if (stop.signal.aborted) return file.close();
      this.file = file;
      this.layOut();
      await this.sharpen();
    } catch (error) {
      this.failed(error, stop.signal);
    }
  }

  /** Shows layers up to the one that fills the element, if they are not shown already. */
  private async sharpen(): Promise<void> {
    const { file, stop } = this;
    if (!file || !stop || this.showing === stop) return;
    this.showing = stop;
    try {
      file.prepare(this.wanted(file));
      while (this.shown < file.choose(this.wanted(file)).index) {
        const started = performance.now();
        const layer = file.info.layers[this.shown + 1]!;
        const bitmap = await file.bitmap(await file.decode({ layer: layer.index, signal: stop.signal }));
        if (stop !== this.stop) return;
        this.draw(bitmap);
        this.shown = layer.index;
        const detail = { layer, bytes: await file.received(), milliseconds: performance.now() - started };
        this.dispatchEvent(new CustomEvent("layer", { detail }));
        if (this.shown >= file.choose(this.wanted(file)).index) this.dispatchEvent(new Event("load"));
      }
    } catch (error) {
      this.failed(error, stop.signal);
    } finally {
      if (this.showing === stop) this.showing = null;
    }
  }

  /** The width that fills the element on this screen. */
  private wanted(file: CompassFile): { width: number } {
    const width = this.clientWidth || Number(this.getAttribute("width")) || file.info.width;
    return { width: Math.ceil(width * devicePixelRatio) };
  }

  private draw(bitmap: ImageBitmap): void {
    this.canvas.width = bitmap.width;
    this.canvas.height = bitmap.height;
    this.canvas.getContext("bitmaprenderer")!.transferFromImageBitmap(bitmap);
  }

  private failed(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.dispatchEvent(new CustomEvent("error", { detail: (error as Error).message }));
  }
}

if (globalThis.customElements && !customElements.get("compass-image")) customElements.define("compass-image", CompassImage);

declare global {
  interface HTMLElementTagNameMap {
    "compass-image": CompassImage;
  }
}
