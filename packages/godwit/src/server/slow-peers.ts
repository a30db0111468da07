/** Clients that take or give hardly a byte, while they keep a server's memory busy (protocol.md §12.3, §13.2). */
import type { ServerLimits, ServerSession, ServerTimers } from '../session/index.ts';
import { Deadline, now } from '../socket/timers.ts';
import { ProtocolError, WireCode } from '../wire/index.ts';

/** So often within a timeout it is looked whether data still waits. */
const LOOKS = 4;
/** Between two looks at the least, in milliseconds. */
const MIN_PAUSE_MS = 25;

export interface SlowPeersHost {
  sessions(): Iterable<ServerSession>;
  unfinishedFrame(carrierId: number): { readonly frame: number; readonly takenBytes: number } | undefined;
  /** Ends the session on that carrier with the error's code at both ends. */
  evict(carrierId: number, error: ProtocolError): void;
}

/** What waits, and how far it has come. */
interface Progress {
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

export class SlowPeers {
  readonly #host: SlowPeersHost;
  readonly #readerTimeoutMs: number;
  readonly #writerTimeoutMs: number;
  readonly #minBytesPerSecond: number;
  readonly #pauseMs: number;
  readonly #deadline = new Deadline(() => this.#look());
  #watched = new Map<ServerSession, Watched>();

  constructor(
    { limits, timers }: { readonly limits: ServerLimits; readonly timers: ServerTimers },
    host: SlowPeersHost,
  ) {
    this.#host = host;
    this.#readerTimeoutMs = timers.slowReaderTimeoutMs || Infinity;
    this.#writerTimeoutMs = timers.slowWriterTimeoutMs || Infinity;
    this.#minBytesPerSecond = limits.minBytesPerSecond;
    this.#pauseMs = Math.max(MIN_PAUSE_MS, Math.min(this.#readerTimeoutMs, this.#writerTimeoutMs) / LOOKS);
  }

  /** There are sessions to look at. */
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
    const slow: { readonly carrierId: number; readonly what: string }[] = [];
    let isIdle = true;
    for (const session of this.#host.sessions()) {
      isIdle = false;
      const { carrierId } = session;
      if (carrierId === undefined) continue;
      const last = before.get(session) ?? NOTHING;
      const output = this.#judge(last.output, outputOf(session), time, this.#readerTimeoutMs);
      const input = this.#judge(last.input, this.#inputOf(carrierId), time, this.#writerTimeoutMs);
      if (output === 'slow')
        slow.push({ carrierId, what: 'takes hardly any of the output that waits for it' });
      else if (input === 'slow') slow.push({ carrierId, what: 'hardly goes on with a frame it has begun' });
      else if (output !== undefined || input !== undefined) this.#watched.set(session, { output, input });
    }
    for (const { carrierId, what } of slow)
      this.#host.evict(carrierId, new ProtocolError(WireCode.TooSlow, `the client ${what}`));
    if (!isIdle) this.watch();
  }

  #inputOf(carrierId: number): Progress | undefined {
    const unfinished = this.#host.unfinishedFrame(carrierId);
    return unfinished && { what: `${carrierId} ${unfinished.frame}`, position: unfinished.takenBytes };
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

function outputOf({ carrierId, bytesUnacknowledged, acknowledged }: ServerSession): Progress | undefined {
  return bytesUnacknowledged === 0 ? undefined : { what: `${carrierId}`, position: acknowledged };
}
