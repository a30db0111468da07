/** Private members: the fuzzer's copies of the sources have none (instrument/transform.ts). */

/** `object` with its private members, `#x` as `$x`. */
export function opened<T extends object>(object: object): T {
  return object as T;
}
