/** A frozen session on its way between servers: STATE and its chunks (protocol.md §9.3). */
import {
  MAX_STATE_CHUNK_BYTES,
  ProtocolError,
  WireCode,
  concatBytes,
  encodePeerFrame,
  type Epoch,
  type PeerFrame,
  type PeerFrameValue,
} from '../wire/index.ts';
import type { ServerLimits } from './limits.ts';
import type { ServerSession } from './server-session.ts';
import type { SnapshotPoint } from './server-streams.ts';

/** What a destination gets from an origin. */
export interface TransferredState {
  readonly point: SnapshotPoint;
  /** The input's FIN follows the log. */
  readonly receivedFin: boolean;
  readonly tailFrom: number;
  /** The application had finished: there is nothing to restart, only bytes to deliver. */
  readonly terminal: boolean;
  readonly log: Uint8Array;
  readonly tail: Uint8Array;
}

/** Output tail one transfer may carry, as a multiple of the tail limit: applications may write beyond it. */
const MAX_TAIL_FACTOR = 8;

/** No session gets as far as these: what is left above them is never used up. */
const MAX_TAKEN_OFFSET = 2 ** 52;
const MAX_TAKEN_K = 2 ** 47;

/** The messages that hand a frozen session over to a destination whose client has output up to `clientReceived`. */
export function encodeTransfer(
  requestId: number,
  session: ServerSession,
  clientReceived: number,
): Uint8Array[] {
  const { streams, snapshots } = session;
  const terminal = session.isTerminal;
  const newest = snapshots.newest;
  const { receive } = streams;
  const fin = receive.finReceived;
  const point: SnapshotPoint = terminal
    ? {
        epoch: session.epoch,
        k: newest.k + 1,
        input: receive.received,
        output: streams.outputNext,
        inputFinished: fin,
        outputFinished: true,
        state: new Uint8Array(0),
        schema: newest.schema,
      }
    : newest;
  const inputBytes = point.input - (point.inputFinished ? 1 : 0);
  const log = terminal ? [] : streams.logFrom(inputBytes);
  const outputBytes = point.output - (point.outputFinished ? 1 : 0);
  const tailFrom = Math.min(outputBytes, Math.max(clientReceived, streams.send.retainedFrom));
  const tail =
    streams.isRegenerating || tailFrom >= outputBytes ? [] : streams.send.views(tailFrom, outputBytes);
  const length = (parts: readonly Uint8Array[] | undefined): number =>
    (parts ?? []).reduce((sum, part) => sum + part.byteLength, 0);
  const logBytes = length(log);
  const frames = [
    encodePeerFrame('state', {
      requestId,
      sessionId: session.sessionId,
      epoch: point.epoch,
      k: point.k,
      input: point.input,
      output: point.output,
      inputFinished: point.inputFinished,
      outputFinished: point.outputFinished,
      terminal,
      schema: point.schema,
      receivedFin:
        log !== undefined && fin && !point.inputFinished && inputBytes + logBytes === receive.finOffset,
      tailFrom,
      bodyBytes: point.state.byteLength,
      logBytes,
      tailBytes: length(tail),
    }),
  ];
  for (const part of [point.state, ...(log ?? []), ...tail]) {
    for (let at = 0; at < part.byteLength; at += MAX_STATE_CHUNK_BYTES) {
      frames.push(
        encodePeerFrame('stateChunk', { requestId, bytes: part.subarray(at, at + MAX_STATE_CHUNK_BYTES) }),
      );
    }
  }
  return frames;
}

/** Whether a session can be as STATE says, when its client asked for it with a MIGRATE of that epoch. */
function isPossible(header: PeerFrameValue<'state'>, migrateEpoch: Epoch): boolean {
  const input = header.input - (header.inputFinished ? 1 : 0);
  const output = header.output - (header.outputFinished ? 1 : 0);
  if (input < 0 || output < 0 || Math.max(input + header.logBytes, output) > MAX_TAKEN_OFFSET) return false;
  if (header.epoch >= migrateEpoch || header.k > MAX_TAKEN_K) return false;
  if (header.tailFrom + header.tailBytes !== output) return false;
  // Behind a FIN comes nothing, and a session that its application has finished goes on nowhere.
  if (header.inputFinished && (header.receivedFin || header.logBytes > 0)) return false;
  return !header.terminal || (header.outputFinished && header.bodyBytes === 0 && header.logBytes === 0);
}

/** Gathers STATE and its chunks. Throws `ProtocolError` when they exceed the limits, contradict themselves or each other. */
export class TransferReceiver {
  readonly #header: PeerFrameValue<'state'>;
  readonly #chunks: Uint8Array[] = [];
  readonly #total: number;
  #bytes = 0;

  /** `migrateEpoch` is that of the request which the origin answers. */
  constructor(header: PeerFrame<'state'>, limits: ServerLimits, migrateEpoch: Epoch) {
    if (
      header.bodyBytes > limits.maxStateBytes ||
      header.tailBytes > limits.outputTailBytes * MAX_TAIL_FACTOR ||
      header.logBytes > limits.inputLogBytes + limits.receiveWindowBytes
    ) {
      throw new ProtocolError(
        WireCode.LimitExceeded,
        'the origin hands over more than this server takes',
        true,
      );
    }
    if (!isPossible(header, migrateEpoch))
      throw new ProtocolError(WireCode.Protocol, 'the origin hands over what no session can be', true);
    this.#header = header;
    this.#total = header.bodyBytes + header.logBytes + header.tailBytes;
  }

  accept(chunk: PeerFrame<'stateChunk'>): void {
    this.#bytes += chunk.bytes.byteLength;
    if (chunk.bytes.byteLength === 0 || this.#bytes > this.#total)
      throw new ProtocolError(WireCode.Protocol, 'other state than the origin announced', true);
    this.#chunks.push(chunk.bytes);
  }

  /** The whole, or undefined while chunks are missing. */
  get whole(): TransferredState | undefined {
    if (this.#bytes < this.#total) return undefined;
    const header = this.#header;
    const all = concatBytes(this.#chunks);
    const logAt = header.bodyBytes;
    const tailAt = logAt + header.logBytes;
    return {
      point: {
        epoch: header.epoch,
        k: header.k,
        input: header.input,
        output: header.output,
        inputFinished: header.inputFinished,
        outputFinished: header.outputFinished,
        state: all.slice(0, logAt),
        schema: header.schema,
      },
      receivedFin: header.receivedFin,
      tailFrom: header.tailFrom,
      terminal: header.terminal,
      log: all.slice(logAt, tailAt),
      tail: all.slice(tailAt),
    };
  }
}
