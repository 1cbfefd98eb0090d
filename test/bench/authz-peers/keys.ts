/** Access keys the edge of the bench knows. */
export const KEYS = 10_000;

/** The `n`-th of them. */
export function keyOf(n: number): { readonly accessKey: string; readonly secret: string } {
  return { accessKey: `bench-key-${n}`, secret: `bench-secret-of-key-${n}` };
}
