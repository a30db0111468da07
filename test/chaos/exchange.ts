/** The client of the workload `requests`. It is written as for `node:net`: nothing in here knows that the other end moves. */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { Draw, bytesFromSeed } from '../../packages/cli/src/demo/choices.ts';
import { NO_FAULTS, addVerdicts } from '../../packages/cli/src/demo/comparer.ts';
import type { Verdict } from '../../packages/cli/src/demo/comparer.ts';
import { RecordReader, RecordWriter } from '../../packages/cli/src/demo/records.ts';
import type { ReadRecord } from '../../packages/cli/src/demo/records.ts';
import type { Trailer } from '../../packages/cli/src/demo/trailer.ts';
import { RECEIPT_BYTES } from './effect-store.ts';
import type { RequestOutcome } from './messages.ts';
import { encodeAnswer } from './request-service.ts';

export interface ExchangeOptions {
  readonly seed: number;
  readonly requests: number;
  /** Requests that wait for an answer at once, at most. */
  readonly window: number;
  /** Between an answer and the next request. */
  readonly thinkMs: number;
  /** When true, no further request is made. */
  readonly isOver: () => boolean;
  readonly onRequest: () => void;
  /** With how many requests are unanswered still. */
  readonly onAnswer: (unanswered: number) => void;
}

export interface ExchangeResult extends RequestOutcome {
  readonly verdict: Verdict;
}

const PAYLOAD_BYTES_MAX = 400;

/** Resolves when the service has reported. Rejects with the socket's error, or when the report is missing. */
export async function exchange(socket: Duplex, options: ExchangeOptions): Promise<ExchangeResult> {
  const { seed, requests, window, thinkMs, isOver, onRequest, onAnswer } = options;
  const draw = new Draw(seed);
  const noise = bytesFromSeed(seed, 2 * PAYLOAD_BYTES_MAX);
  const writer = new RecordWriter({
    payloadBytes: () => 1 + draw.below(PAYLOAD_BYTES_MAX),
    fill: (payload) => payload.set(noise.subarray(draw.below(PAYLOAD_BYTES_MAX)).subarray(0, payload.length)),
  });
  const reader = new RecordReader();
  const receipts = createHash('sha256');
  let sent = 0;
  let answered = 0;
  let corrupt = 0;
  let trailer: Trailer | undefined;

  const pump = (): void => {
    if (socket.destroyed || socket.writableEnded) return;
    while (sent < requests && sent - answered < window && !isOver()) {
      sent += 1;
      onRequest();
      socket.write(writer.next());
    }
    if (sent === answered && (sent === requests || isOver())) {
      onRequest();
      socket.end();
    }
  };
  const take = ({ sequence, payload }: ReadRecord): void => {
    if (socket.writableEnded && sequence >= sent) {
      trailer = JSON.parse(payload.toString()) as Trailer;
      return;
    }
    const receipt = payload.subarray(0, RECEIPT_BYTES);
    receipts.update(receipt);
    // The reader has seen that these are the bytes of the service; but are they the answer to this request?
    if (!encodeAnswer(receipt, sequence).equals(payload)) corrupt += payload.length;
    answered += 1;
    onAnswer(sent - answered);
    if (thinkMs === 0) pump();
    else setTimeout(pump, thinkMs);
  };
  socket.on('data', (chunk: Buffer) => {
    reader.append(chunk);
    for (let record = reader.next(); record !== undefined; record = reader.next()) take(record);
  });
  socket.once('connect', pump);

  await finished(socket);
  if (trailer === undefined)
    throw new Error(`the service ended without its report, after answer ${answered}`);
  const down = reader.end(reader.state.offset);
  const missing = { ...NO_FAULTS, lost: Math.max(0, writer.position.offset - trailer.up.position) };
  return {
    verdict: [trailer.up.verdict, missing, { ...NO_FAULTS, corrupt }].reduce(addVerdicts, down),
    answered,
    receipts: receipts.digest('hex'),
  };
}
