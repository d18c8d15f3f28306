import OpenSeadragon from "openseadragon";
import { open, type CompassImage, type LayerInfo } from "../src/index";

/** As benchmarks/product/web_demo.py writes it. */
interface Picture {
  name: string;
  width: number;
  height: number;
  psnr: Record<"compass" | "avif" | "jpeg", number>;
  bytes: Record<"compass" | "avif" | "jpeg", number>;
}

const at = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const image = at<CompassImage>("image");
const [layers, problem, width] = [at("layers"), at("problem"), at<HTMLInputElement>("width")];
const pictures: Picture[] = await (await fetch("pictures.json")).json();
const viewer = OpenSeadragon({ id: "viewer", showNavigationControl: false, maxZoomPixelRatio: 8, visibilityRatio: 0.5 });

image.addEventListener("layer", (event) => {
  const { layer, bytes, milliseconds } = (event as CustomEvent<{ layer: LayerInfo; bytes: number; milliseconds: number }>).detail;
  const row = document.createElement("tr");
  for (const text of [layer.index, `${layer.width}x${layer.height}`, bytes.toLocaleString("en"), milliseconds.toFixed(0)]) {
    row.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  layers.append(row);
});
image.addEventListener("error", (event) => (problem.textContent = (event as unknown as CustomEvent<string>).detail));

const select = at<HTMLSelectElement>("pictures");
for (const [n, { name }] of pictures.entries()) select.add(new Option(name, String(n)));
select.onchange = at("again").onclick = show;
width.oninput = () => {
  image.setAttribute("width", width.value);
  at("shown").textContent = `${width.value} pixels`;
};

function show(): void {
  const picture = pictures[Number(select.value)]!;
  const { name, bytes, psnr } = picture;
  layers.textContent = problem.textContent = "";
  width.max = width.value = String(picture.width);
  width.dispatchEvent(new Event("input"));
  image.setAttribute("alt", name);
  image.setAttribute("src", `${name}.cmps?${performance.now()}`); // not from the browser's cache
  for (const kind of ["avif", "jpeg"] as const) {
    at<HTMLImageElement>(kind).src = `${name}.${kind === "jpeg" ? "jpg" : kind}`;
    at(`${kind}-bytes`).textContent = `${bytes[kind].toLocaleString("en")} bytes, ${psnr[kind].toFixed(1)} dB`;
  }
  void zoomable(name);
}

/** Stacks the layers of a file in the viewer. */
async function zoomable(name: string): Promise<void> {
  viewer.world.removeAll();
  const file = await open(`${name}.cmps`, { models: "models/" });
  try {
    for await (const { image } of file.progressive()) {
      if (name !== pictures[Number(select.value)]!.name) return;
      const canvas = document.createElement("canvas");
      const bitmap = await file.bitmap(image);
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      canvas.getContext("2d")!.drawImage(bitmap, 0, 0);
      const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve));
      viewer.addSimpleImage({ url: URL.createObjectURL(blob!), x: 0, y: 0, width: 1 });
    }
  } finally {
    file.close();
  }
}

show();
