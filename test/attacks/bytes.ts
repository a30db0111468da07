/** Small changes to what was right. */

export function flipBit(bytes: Uint8Array, at: number, bit: number): Uint8Array {
  const changed = bytes.slice();
  changed[at] = (changed[at] ?? 0) ^ (1 << bit);
  return changed;
}

export function toText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
