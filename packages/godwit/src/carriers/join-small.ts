/** Parts that leave together are joined when they are no more than this, in bytes. */
const JOIN_BYTES = 4096;

/** One `write` of a copy costs a third of a `writev` of several parts, as a ping-pong of small messages shows. */
export function joinSmall(parts: readonly Uint8Array[]): readonly Uint8Array[] {
  if (parts.length < 2) return parts;
  let length = 0;
  for (const part of parts) {
    length += part.byteLength;
    if (length > JOIN_BYTES) return parts;
  }
  const joined = Buffer.allocUnsafe(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.byteLength;
  }
  return [joined];
}
