import { defineConfig } from "vitest/config";

export default defineConfig({
  build: {
    target: "es2022",
    lib: { entry: "src/index.ts", formats: ["es"], fileName: "compass-image" },
  },
  worker: { format: "es" },
  test: { include: ["test/*.test.ts"], testTimeout: 60_000 },
});
