/** What is wrong with a file, a model or a request, in one sentence. */
export class CompassError extends Error {
  override name = "CompassError";
}
