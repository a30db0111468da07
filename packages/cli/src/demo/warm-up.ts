/**
 * Runs what the services do to every byte, before the first byte comes. A server that takes a session over has been up for
 * a while, as a rule; the demo and the soak kill servers so often that each would be busy compiling just when it counts.
 */
import { RecordReader, RecordWriter } from './records.ts';
import type { RecordContent } from './records.ts';
import { Sha256 } from './sha256.ts';

/** Enough for the compiler to have seen it all at work. Costs some 50 ms of a start. */
const WARM_UP_BYTES = 2 * 1024 * 1024;

export function warmUp(content: RecordContent): void {
  const writer = new RecordWriter(content);
  const reader = new RecordReader();
  const hash = new Sha256();
  while (writer.position.offset < WARM_UP_BYTES) {
    const record = writer.next();
    hash.update(reader.push(record));
    Sha256.fromState(hash.exportState());
  }
}
