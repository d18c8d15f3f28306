/** Calls of somebody elsewhere, who answers by their numbers. */
export class Calls {
  private last = 0;
  private readonly waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();

  /** The number of a new call, and what it will give. */
  begin<T>(): [number, Promise<T>] {
    const id = ++this.last;
    return [id, new Promise<T>((resolve, reject) => this.waiting.set(id, { resolve, reject }))];
  }

  resolve(id: number, value: unknown): void {
    this.waiting.get(id)?.resolve(value as never);
    this.waiting.delete(id);
  }

  reject(id: number, error: Error): void {
    this.waiting.get(id)?.reject(error);
    this.waiting.delete(id);
  }

  /** Nobody will answer any more. */
  rejectAll(error: Error): void {
    for (const id of [...this.waiting.keys()]) this.reject(id, error);
  }
}
