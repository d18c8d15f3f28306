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
  private readonly sheet = new CSSStyleSheet();
  private stop: AbortController | null = null; // of the file that is shown, or being opened
  private file: CompassFile | null = null;
  private shown = -1;
  private showing: AbortController | null = null; // of the file whose layers are being decoded
  private near = false;
  private labelled = false; // by us
  private readonly sizes = new ResizeObserver(() => void this.sharpen());
  private readonly nearness = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    this.near = true;
    void this.start();
  }, { rootMargin: "50%" });

  constructor() {
    super();
    this.canvas.setAttribute("part", "canvas");
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [this.sheet]; // allowed by every content security policy
    root.append(this.canvas);
  }

  connectedCallback(): void {
    if (Object.hasOwn(this, "src")) { // it was set before the script had come
      const { src } = this;
      delete (this as { src?: string }).src;
      this.src = src;
    }
    this.layOut();
    this.sizes.observe(this);
    this.nearness.observe(this);
    void this.start();
  }

  disconnectedCallback(): void {
    this.sizes.disconnect();
    this.nearness.disconnect();
    this.near = false;
    this.end();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.isConnected || before === after) return;
    if (name === "src" || name === "models") this.end();
    this.layOut();
    void this.start();
  }

  private layOut(): void {
    const [width, height] = ["width", "height"].map((name) => Number(this.getAttribute(name)) || null);
    const size = this.file?.info;
    const ratio = width && height ? `${width} / ${height}` : size ? `${size.width} / ${size.height}` : "auto";
    const wide = width ?? (height ? null : size?.width);
    this.sheet.replaceSync(`
      :host {
        display: inline-block; max-width: 100%; aspect-ratio: ${ratio};
        ${wide ? `width: ${wide}px;` : ""} ${height && !width ? `height: ${height}px;` : ""}
      }
      canvas { display: block; width: 100%; height: 100%; }`);
    this.label();
  }

  /** What it is to those who do not see it: an image with its text, or with alt="" an ornament; what an author says goes first. */
  private label(): void {
    const alt = this.getAttribute("alt");
    if (!this.labelled && (this.hasAttribute("role") || this.hasAttribute("aria-label"))) return;
    this.labelled = true;
    this.setAttribute("role", alt === "" ? "presentation" : "img");
    if (alt) this.setAttribute("aria-label", alt);
    else this.removeAttribute("aria-label");
  }

  /** Forgets the file, and shows nothing. */
  private end(): void {
    this.stop?.abort();
    this.stop = null;
    this.file?.close();
    this.file = null;
    this.shown = -1;
    this.canvas.getContext("bitmaprenderer")!.transferFromImageBitmap(null);
  }

  private async start(): Promise<void> {
    const { src } = this;
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
      this.failed(error, stop);
    }
  }

  /** Shows layers up to the one that fills the element, if they are not shown already. */
  private async sharpen(): Promise<void> {
    const { file, stop } = this;
    if (!file || !stop || this.showing === stop) return;
    this.showing = stop;
    try {
      if (this.shown < file.choose(this.wanted(file)).index) file.prepare(this.wanted(file));
      while (this.shown < file.choose(this.wanted(file)).index) {
        const started = performance.now();
        const layer = file.info.layers[this.shown + 1]!;
        const bitmap = await file.bitmap(await file.decode({ layer: layer.index, signal: stop.signal }));
        const bytes = await file.received();
        if (stop !== this.stop) return bitmap.close();
        this.draw(bitmap);
        this.shown = layer.index;
        const milliseconds = performance.now() - started;
        this.dispatchEvent(new CustomEvent("layer", { detail: { layer, bytes, milliseconds } }));
        if (stop === this.stop && this.shown >= file.choose(this.wanted(file)).index) this.dispatchEvent(new Event("load"));
      }
      if (this.shown === file.info.layers.length - 1) file.close(); // nothing more can come: the decoder may forget it
    } catch (error) {
      this.failed(error, stop);
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

  /** Says what is wrong, once: until `src` changes nothing more is tried. */
  private failed(error: unknown, stop: AbortController): void {
    if (stop.signal.aborted) return;
    stop.abort();
    this.file?.close();
    this.dispatchEvent(new CustomEvent("error", { detail: (error as Error).message }));
  }
}

if (globalThis.customElements && !customElements.get("compass-image")) customElements.define("compass-image", CompassImage);

declare global {
  interface HTMLElementTagNameMap {
    "compass-image": CompassImage;
  }
}
