/** What a harness must find: one piece of a service's output is lost, another one doubled, and a third one damaged. */

/** Where, in bytes of the service's output. They lie as wide apart as the kill of a run may. */
const LOST_AT = 100_000;
const DOUBLED_AT = 300_000;
const DAMAGED_AT = 500_000;

/** What goes out instead of the bytes at this offset. */
export function pieceFaults(bytes: Buffer, offset: number): Buffer {
  const holds = (at: number): boolean => at >= offset && at < offset + bytes.length;
  if (holds(LOST_AT)) return Buffer.alloc(0);
  if (holds(DOUBLED_AT)) return Buffer.concat([bytes, bytes]);
  if (holds(DAMAGED_AT)) return Buffer.from(bytes.map((byte, index) => (index < 28 ? byte : ~byte)));
  return bytes;
}
