import { defineConfig } from "vite";

export default defineConfig({
  root: "demo",
  base: "./",
  build: { target: "es2022", outDir: "../dist-demo", emptyOutDir: false },
  worker: { format: "es" },
});
