/**
 * The service of the workload `requests`: each record from the client is a request with a side effect, and is answered by a
 * record with the receipt of that effect. Its output is a function of its input and of what the store says to a key, so it
 * may be executed again.
 */
import { RecordReader, RecordWriter } from '../../packages/cli/src/demo/records.ts';
import type { ReadRecord, ReaderState, RecordPosition } from '../../packages/cli/src/demo/records.ts';
import { decodeState, encodeState } from '../../packages/cli/src/demo/service.ts';
import { encodeTrailer } from '../../packages/cli/src/demo/trailer.ts';
import type { ServerSocket } from 'godwit';
import type { Effect, EffectStore } from './effect-store.ts';
import { RECEIPT_BYTES } from './effect-store.ts';

export interface RequestServiceOptions {
  readonly store: EffectStore;
  /** Of this server. */
  readonly name: string;
  readonly delivery: 'replay' | 'commit';
  /** Counts what is worth knowing of the store's answers. */
  readonly onApplied: (outcome: 'repeated' | 'fenced' | 'busy' | 'full') => void;
  /** For tests of the harness itself: what goes to the store instead; the last one's receipt is the answer. */
  readonly tamper?: ((effect: Effect) => readonly Effect[]) | undefined;
}

/** Between two requests. */
interface State {
  readonly in: ReaderState;
  readonly out: RecordPosition;
  /** Input behind the last request, which is where the state stands. */
  readonly bytesConsumed: number;
  readonly inputEnded: boolean;
  readonly trailerSent: boolean;
}

/** The most that the rest of an answer, behind its receipt and number, may have. */
const FILLER_BYTES_MAX = 1000;

/** How soon a request that the store did not take is tried again. */
const RETRY_MS = 25;

/** A receipt, the number of the request, and bytes that follow from both, so that answers differ in length. */
export function encodeAnswer(receipt: Uint8Array, request: number): Buffer {
  const answer = Buffer.alloc(RECEIPT_BYTES + 4 + (((receipt[0] ?? 0) * 4 + request) % FILLER_BYTES_MAX));
  answer.fill(receipt);
  answer.writeUInt32BE(request, RECEIPT_BYTES);
  return answer;
}

export function serveRequests(socket: ServerSocket, options: RequestServiceOptions): void {
  const {
    store,
    name,
    delivery,
    onApplied,
    tamper = (effect: Effect): readonly Effect[] => [effect],
  } = options;
  const state = socket.importState(decodeState<State>);
  const reader = new RecordReader(state?.in);
  let answer: Buffer = Buffer.alloc(0);
  const writer = new RecordWriter(
    { payloadBytes: () => answer.length, fill: (payload) => payload.set(answer) },
    state?.out,
  );
  let { inputEnded, trailerSent } = state ?? { inputEnded: false, trailerSent: false };
  /** Input fed to the reader. */
  let fed = state?.bytesConsumed ?? 0;
  /** A request that the store has not taken yet. */
  let waiting: ReadRecord | undefined;
  /** Where the service stands: not behind a request that waits. */
  let point = { in: reader.state, out: writer.position, bytesConsumed: fed };

  const exportNow = (): { state: Uint8Array; bytesConsumed: number } => {
    const { bytesConsumed } = point;
    return { state: encodeState({ ...point, inputEnded, trailerSent } satisfies State), bytesConsumed };
  };
  const commit = (): void => {
    const { state: bytes, bytesConsumed } = exportNow();
    if (delivery === 'commit') socket.exportState(bytes, { bytesConsumed });
  };
  const write = (payload: Buffer): void => {
    answer = payload;
    socket.write(writer.next());
    point = { in: reader.state, out: writer.position, bytesConsumed: fed - reader.pendingBytes };
  };

  socket.onExportState(exportNow);
  socket.on('data', (chunk: Buffer) => {
    fed += chunk.length;
    reader.append(chunk);
    if (waiting === undefined) work();
    else socket.pause();
  });
  socket.on('end', () => {
    inputEnded = true;
    if (waiting === undefined) work();
  });
  if (inputEnded) process.nextTick(work);

  /** Answers all that is there, or as much as the store takes. */
  function work(): void {
    const before = point;
    while (!socket.destroyed) {
      waiting ??= reader.next();
      if (waiting === undefined) break;
      if (!execute(waiting)) {
        if (!socket.destroyed) setTimeout(work, RETRY_MS);
        break;
      }
      waiting = undefined;
      socket.resume();
    }
    if (socket.destroyed) return;
    if (point !== before) commit();
    if (inputEnded && waiting === undefined) finish();
  }

  function execute({ sequence, offset }: ReadRecord): boolean {
    const effect: Effect = {
      key: socket.idempotencyKey(offset),
      session: socket.sessionId ?? '',
      request: sequence,
      epoch: socket.epoch,
      server: name,
    };
    const applied = tamper(effect)
      .map((each) => store.apply(each))
      .at(-1) ?? { outcome: 'busy' };
    if (applied.outcome === 'done') {
      if (applied.repeated) onApplied('repeated');
      write(encodeAnswer(applied.receipt, sequence));
      return true;
    }
    onApplied(applied.outcome);
    // The session lives elsewhere by now: this copy of it has nothing more to do.
    if (applied.outcome === 'fenced') socket.destroy();
    return false;
  }

  function finish(): void {
    if (socket.writableEnded) return;
    if (!trailerSent) {
      trailerSent = true;
      const { offset: position, verdict } = reader.state;
      const down = { bytes: writer.position.offset };
      write(encodeTrailer({ up: { bytes: fed, position, sha256: '', verdict }, down }));
      commit();
    }
    socket.end();
  }
}
