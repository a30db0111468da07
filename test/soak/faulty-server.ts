/** A server that loses one piece of what it sends, doubles another and damages a third: the soak has to notice. */
import { runServer } from '../../packages/cli/src/demo/server.ts';

/** Where, in bytes of the service's output. They lie as wide apart as the kill of a run may. */
const LOST_AT = 100_000;
const DOUBLED_AT = 300_000;
const DAMAGED_AT = 500_000;

runServer((bytes, offset) => {
  const holds = (at: number): boolean => at >= offset && at < offset + bytes.length;
  if (holds(LOST_AT)) return Buffer.alloc(0);
  if (holds(DOUBLED_AT)) return Buffer.concat([bytes, bytes]);
  if (holds(DAMAGED_AT)) return Buffer.from(bytes.map((byte, index) => (index < 28 ? byte : ~byte)));
  return bytes;
});
