/**
 * The service of `--delivery commit`: sends records of random length and content and receives others. No two runs of it
 * send the same bytes, so that its output may count only together with the snapshot that covers it.
 */
import { randomFillSync, randomInt } from 'node:crypto';
import { statSync } from 'node:fs';
import { Pacer } from './pacer.ts';
import { PAYLOAD_MAX_BYTES, RecordReader, RecordWriter } from './records.ts';
import type { ReaderState, RecordPosition } from './records.ts';
import { FREE_BYTES, decodeState, encodeState, writePaced } from './service.ts';
import type { ServiceOptions, ServiceSocket } from './service.ts';
import { Sha256 } from './sha256.ts';
import { encodeTrailer } from './trailer.ts';

/** All of the service, between two records in each direction: about 600 bytes. */
interface State {
  readonly out: RecordPosition;
  /** Base64, as `inHash`: of all output before the trailer, and of all input consumed. */
  readonly outHash: string;
  readonly in: ReaderState;
  readonly inHash: string;
  readonly inputEnded: boolean;
  readonly trailerSent: boolean;
}

/** Output between two commits: the client sees nothing of it before. */
const COMMIT_BYTES = 64 * 1024;

/** No two records alike. */
export const chance = {
  payloadBytes: (): number => randomInt(1, PAYLOAD_MAX_BYTES + 1),
  fill: (payload: Uint8Array): void => void randomFillSync(payload),
};

export function serveRecords(socket: ServiceSocket, { file, rate, tamper }: ServiceOptions): void {
  const state = socket.importState(decodeState<State>);
  const length = statSync(file).size;
  const writer = new RecordWriter(chance, state?.out);
  const reader = new RecordReader(state?.in);
  const outHash = resumeHash(state?.outHash);
  const inHash = resumeHash(state?.inHash);
  let { inputEnded, trailerSent } = state ?? { inputEnded: false, trailerSent: false };
  let uncommitted = 0;

  const exportNow = (): { state: Uint8Array; bytesConsumed: number } => ({
    state: encodeState({
      out: writer.position,
      outHash: Buffer.from(outHash.exportState()).toString('base64'),
      in: reader.state,
      inHash: Buffer.from(inHash.exportState()).toString('base64'),
      inputEnded,
      trailerSent,
    } satisfies State),
    // What belongs to an unfinished record will be fed again.
    bytesConsumed: inHash.length,
  });
  const commit = (): void => {
    const { state: bytes, bytesConsumed } = exportNow();
    socket.exportState(bytes, { bytesConsumed });
    uncommitted = 0;
  };
  socket.onExportState(exportNow);
  socket.on('data', (chunk: Buffer) => inHash.update(reader.push(chunk)));
  socket.on('end', () => {
    inputEnded = true;
    finish();
  });

  const pacer = new Pacer({ megabytesPerSecond: rate, freeBytes: state === undefined ? 0 : FREE_BYTES });
  void writePaced(socket, pacer, () => {
    if (writer.position.offset >= length) return 0;
    const at = writer.position.offset;
    const record = writer.next();
    outHash.update(record);
    socket.write(tamper === undefined ? record : tamper(record, at));
    uncommitted += record.length;
    if (uncommitted >= COMMIT_BYTES) commit();
    return record.length;
  }).then(finish);

  /** Both directions have to be through before the service reports. */
  function finish(): void {
    if (!inputEnded || writer.position.offset < length || socket.destroyed || socket.writableEnded) return;
    if (!trailerSent) {
      trailerSent = true;
      const { offset: position, verdict } = reader.state;
      const up = { bytes: inHash.length, position, sha256: inHash.digest(), verdict };
      socket.write(encodeTrailer({ up, down: { bytes: writer.position.offset, sha256: outHash.digest() } }));
      commit();
    }
    socket.end();
  }
}

function resumeHash(state: string | undefined): Sha256 {
  return state === undefined ? new Sha256() : Sha256.fromState(Buffer.from(state, 'base64'));
}
