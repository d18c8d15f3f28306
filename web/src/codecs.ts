// The codecs of this thread, one for each model.

import { Codec, type LoadModel } from "./codec";
import { CompassError } from "./errors";

const MOST = 3; // models that are kept; each holds some 50 MB

const codecs = new Map<string, Promise<Codec>>();

/** The codec of a model. models: the folder of its files, ending in a slash, or what loads them. */
export function codecOf(model: string, models: string | LoadModel): Promise<Codec> {
  if (typeof models !== "string") return Codec.create(model, models);
  const key = new URL(`${model}-`, models).href;
  let codec = codecs.get(key);
  if (!codec) {
    codec = Codec.create(model, (name) => fetched(new URL(name, models).href, model));
    codecs.set(key, codec);
    for (const old of [...codecs.keys()].slice(0, -MOST)) codecs.delete(old); // files that are open keep theirs
  }
  return codec;
}

async function fetched(url: string, model: string): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new CompassError(`the model ${model} cannot be loaded from ${url}: ${(error as Error).message}`);
  }
  if (!response.ok) throw new CompassError(`the model ${model} cannot be loaded from ${url}: the server says ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
