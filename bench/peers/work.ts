/** What the servers of peers do, whatever carries it: the same as Godwit's and net's do in the other benchmarks. */
import { RECORD_BYTES, stampedRecord } from '../programs/stamps.ts';

/** `stream`: 64 KiB pieces; `tick`: a record in every turn of the event loop; `echo`: what came goes back. */
export type Work = 'stream' | 'tick' | 'echo';

/** Somebody to write to. */
export interface Sink {
  /** `done` is called when the peer's library has let go of the bytes, as far as it says. */
  readonly write: (bytes: Buffer, done: () => void) => void;
  readonly isClosed: () => boolean;
}

const PIECE_BYTES = 65_536;

/** Writes that may be under way: enough to keep a connection full, and no more than net would buffer. */
const PIECES_AT_ONCE = 16;
const RECORDS_AT_ONCE = 1_024;

/** Fills a connection. */
export function stream(sink: Sink): void {
  const piece = Buffer.alloc(PIECE_BYTES, 'peer');
  let underWay = 0;
  const pump = (): void => {
    while (underWay < PIECES_AT_ONCE && !sink.isClosed()) {
      underWay += 1;
      sink.write(piece, done);
    }
  };
  const done = (): void => {
    underWay -= 1;
    pump();
  };
  pump();
}

/** Writes records, from that byte of them on. */
export function tick(sink: Sink, fromByte: number): void {
  let next = Math.floor(fromByte / RECORD_BYTES);
  let skip = fromByte % RECORD_BYTES;
  let underWay = 0;
  let waits = false;
  const turn = (): void => {
    if (sink.isClosed()) return;
    if (underWay >= RECORDS_AT_ONCE) {
      waits = true;
      return;
    }
    underWay += 1;
    sink.write(stampedRecord(next++).subarray(skip), done);
    skip = 0;
    setImmediate(turn);
  };
  const done = (): void => {
    underWay -= 1;
    if (!waits) return;
    waits = false;
    setImmediate(turn);
  };
  turn();
}
