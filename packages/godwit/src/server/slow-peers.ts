/** Clients that take or give hardly a byte, while they keep a server's memory busy (protocol.md §12.3, §13.2). */
import type { ServerLimits, ServerSession, ServerTimers } from '../session/index.ts';
import { Deadline, now } from '../socket/timers.ts';
import { ProtocolError, WireCode } from '../wire/index.ts';

/** So often within a timeout it is looked whether data still waits. */
const LOOKS = 4;
/** Between two looks at the least, in milliseconds. */
const MIN_PAUSE_MS = 25;

/** Whom to look at, and what to do with those that are slow. */
export interface SlowPeersHost<P> {
  peers(): Iterable<P>;
  /** What waits for the peer to take it, if anything does. */
  outputOf(peer: P): Progress | undefined;
  /** What the peer has begun to say and not finished, if there is such a thing. */
  inputOf(peer: P): Progress | undefined;
  /** Ends it with the error's code. */
  evict(peer: P, error: ProtocolError): void;
}

/** What waits, and how far it has come. */
export interface Progress {
  /** Tells it from what waited before: nothing of one is progress of the other. */
  readonly what: string;
  readonly position: number;
}

/** What has waited without a break since then, and how far it had come by then. */
interface Waiting extends Progress {
  readonly since: number;
}

interface Watched {
  readonly output: Waiting | undefined;
  readonly input: Waiting | undefined;
}

const NOTHING: Watched = { output: undefined, input: undefined };

export class SlowPeers<P extends object> {
  readonly #host: SlowPeersHost<P>;
  readonly #readerTimeoutMs: number;
  readonly #writerTimeoutMs: number;
  readonly #minBytesPerSecond: number;
  readonly #pauseMs: number;
  readonly #deadline = new Deadline(() => this.#look());
  #watched = new Map<P, Watched>();

  constructor(
    { limits, timers }: { readonly limits: ServerLimits; readonly timers: ServerTimers },
    host: SlowPeersHost<P>,
  ) {
    this.#host = host;
    this.#readerTimeoutMs = timers.slowReaderTimeoutMs || Infinity;
    this.#writerTimeoutMs = timers.slowWriterTimeoutMs || Infinity;
    this.#minBytesPerSecond = limits.minBytesPerSecond;
    this.#pauseMs = Math.max(MIN_PAUSE_MS, Math.min(this.#readerTimeoutMs, this.#writerTimeoutMs) / LOOKS);
  }

  /** There are peers to look at. */
  watch(): void {
    if (this.#deadline.dueAt === undefined && this.#pauseMs !== Infinity)
      this.#deadline.set(now() + this.#pauseMs);
  }

  stop(): void {
    this.#deadline.set(undefined);
    this.#watched.clear();
  }

  #look(): void {
    const time = now();
    const before = this.#watched;
    this.#watched = new Map();
    const slow: { readonly peer: P; readonly what: string }[] = [];
    let isIdle = true;
    for (const peer of this.#host.peers()) {
      isIdle = false;
      const last = before.get(peer) ?? NOTHING;
      const output = this.#judge(last.output, this.#host.outputOf(peer), time, this.#readerTimeoutMs);
      const input = this.#judge(last.input, this.#host.inputOf(peer), time, this.#writerTimeoutMs);
      if (output === 'slow') slow.push({ peer, what: 'takes hardly any of the output that waits for it' });
      else if (input === 'slow') slow.push({ peer, what: 'hardly goes on with a frame it has begun' });
      else if (output !== undefined || input !== undefined) this.#watched.set(peer, { output, input });
    }
    for (const { peer, what } of slow)
      this.#host.evict(peer, new ProtocolError(WireCode.TooSlow, `the client ${what}`));
    if (!isIdle) this.watch();
  }

  #judge(
    last: Waiting | undefined,
    progress: Progress | undefined,
    time: number,
    timeoutMs: number,
  ): Waiting | 'slow' | undefined {
    if (progress === undefined || timeoutMs === Infinity) return undefined;
    if (last?.what !== progress.what) return { ...progress, since: time };
    const waitedMs = time - last.since;
    if (waitedMs < timeoutMs) return last;
    const leastBytes = Math.max(1, (this.#minBytesPerSecond * waitedMs) / 1000);
    return progress.position - last.position < leastBytes ? 'slow' : { ...progress, since: time };
  }
}

/** How far a session's output has come: what its client has not acknowledged waits, unless there is no client. */
export function sessionOutput({
  carrierId,
  bytesUnacknowledged,
  acknowledged,
}: ServerSession): Progress | undefined {
  if (carrierId === undefined || bytesUnacknowledged === 0) return undefined;
  return { what: `${carrierId}`, position: acknowledged };
}

/** The same of a frame that has come in part. */
export function frameInput(
  carrierId: number | undefined,
  unfinished: { readonly frame: number; readonly takenBytes: number } | undefined,
): Progress | undefined {
  return unfinished && { what: `${carrierId} ${unfinished.frame}`, position: unfinished.takenBytes };
}
