// Puts build/kernels.wasm into a module, so that the decoder is one file.
import { readFile, writeFile } from "node:fs/promises";

const code = (await readFile("build/kernels.wasm")).toString("base64");
await writeFile("build/kernels.ts", `export default ${JSON.stringify(code)};\n`);
