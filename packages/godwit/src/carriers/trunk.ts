/**
 * A connection in which several carriers share one pipe, as channels (protocol.md §3.6): what they send in one turn of the event loop
 * leaves in one system call, and what came for them is read in one. Each channel is a carrier like any other: a session's frames, its
 * credit and its end are its own. What they have in common is the order of their bytes, and the pipe's end.
 */
import { randomInt } from 'node:crypto';
import { Roster } from '../session/roster.ts';
import { CHANNEL_MAX, ProtocolError, RecordReader, RecordType, WireCode } from '../wire/index.ts';
import { ENDED_BY_PEER, END_TIMEOUT_MS, type Carrier, type CarrierClosed } from './carrier.ts';
import { Channel, type ChannelHost } from './channel.ts';
import { RecordBatch } from './record-batch.ts';

/**
 * From so many bytes on what waits leaves at once, in bytes, and not at the end of the turn: the peer can begin with it while this side
 * goes on.
 */
const SEND_NOW_BYTES = 4 * 1024;

/**
 * Bytes of records that may be added for a peer that takes no more, in bytes: data waits in its channels, so these are the ends of channels and the
 * like, of which who reads nothing can cause any number. With more the connection is closed. Memory cost: as much a trunk.
 */
export const QUEUED_BYTES_MAX = 4 * 1024 * 1024;

const NOT_TAKEN: CarrierClosed = {
  code: 'ERR_GODWIT_LIMIT_EXCEEDED',
  message: `more than ${QUEUED_BYTES_MAX} bytes wait for a peer that does not take them`,
  reset: false,
};

export const REFUSED: CarrierClosed = {
  code: 'ECONNREFUSED',
  message: 'the server takes no more channels of this connection for now',
  reset: false,
  redial: true,
};

/** Whom a trunk tells what happens. */
export interface TrunkHooks {
  /** The peer began a channel; only clients do. False: it is refused. */
  onChannel?(channel: Channel): boolean;
  /** Something came: the peer is alive. */
  onRead?(): void;
  /** The peer did not take a channel. */
  onRefused?(): void;
  /** One of its channels is a bulk stream, behind which others may wait for long. */
  onBulk?(): void;
  /** What the end of the connection means for its channels. Default: the same. */
  explain?(closed: CarrierClosed): CarrierClosed;
  /** The last channel is gone; there may be others. */
  onEmpty(): void;
  /** The connection is over, and each of its channels hears of it. */
  onClose(closed: CarrierClosed): void;
  /** Nothing is left of it: its peer has taken the last bytes, or did not in time. */
  onGone?(): void;
}

export class Trunk implements ChannelHost {
  readonly carrier: Carrier;
  readonly #hooks: TrunkHooks;
  readonly #channels = new Roster<number, Channel>(randomInt(2 ** 32));
  readonly #reader: RecordReader;
  readonly #batch = new RecordBatch();
  /** Those whose last `write` answered false, in that order. */
  #awaitingDrain: Channel[] = [];
  #highestChannel = 0;
  #references = 0;
  #isBlocked = false;
  /** Bytes added since then. */
  #bytesBehindBlock = 0;
  #isScheduled = false;
  #isOver = false;
  /** Of what is in the batch, the longest that somebody would look for an answer. */
  #busyPollMs = 0;
  /** Of the chunk that is being read. */
  #chunkBytes = 0;
  isLending = false;
  drains = 0;

  /** The carrier's preface has gone out, or was read. Nothing is read before `start`. */
  constructor(carrier: Carrier, hooks: TrunkHooks) {
    this.carrier = carrier;
    this.#hooks = hooks;
    this.#reader = new RecordReader({
      onBytes: (channel, piece) => this.#onBytes(channel, piece),
      onOpen: (channel) => this.#onOpen(channel),
      onClose: (channel) => this.#onClose(channel, ENDED_BY_PEER),
      onRefused: (channel) => this.#onRefused(channel),
    });
  }

  /** Channels that neither side is done with. */
  get size(): number {
    return this.#channels.size;
  }
  /** The connection is over, or was ended. */
  get isOver(): boolean {
    return this.#isOver;
  }
  /** No number is left for another channel. */
  get isUsedUp(): boolean {
    return this.#highestChannel >= CHANNEL_MAX;
  }

  /** Reads from now on; `behind` has been read already. */
  start(behind?: Uint8Array): void {
    this.carrier.unref();
    this.carrier.start({
      onData: (chunk) => this.#read(chunk),
      onDrain: () => this.#drained(),
      onClose: (closed) => {
        this.#lose(closed);
        this.#hooks.onGone?.();
      },
    });
    if (behind !== undefined && behind.byteLength > 0) this.#read(behind);
  }

  /** Begins a channel. Of a trunk that is over, or used up, none may be begun. */
  openChannel(): Channel {
    this.#highestChannel += 1;
    const channel = this.#enter(this.#highestChannel);
    this.#batch.add(RecordType.Open, channel.id);
    this.#flushSoon();
    return channel;
  }

  /** Ends the connection, and with it all channels that are left. */
  end(): void {
    this.#flush();
    this.#abandon();
    this.carrier.end();
  }
  /** Closes it at once, and with it all channels. */
  destroy(): void {
    this.#abandon();
    this.carrier.destroy();
  }

  // --- ChannelHost ------------------------------------------------------------------------------------------------

  send(channel: Channel, parts: readonly Uint8Array[]): boolean {
    if (this.#isOver) return true;
    if (this.#isBlocked) (channel.pending ??= []).push(...parts);
    else this.#pass(channel, parts);
    if (this.#isBlocked) this.#awaitDrain(channel);
    return !this.#isBlocked;
  }

  close(channel: Channel): void {
    if (this.#isOver || !this.#channels.has(channel.id)) return;
    if (channel.pending === undefined) {
      this.#finish(channel);
      return;
    }
    // As with a socket: what was written still leaves, if its peer takes it in time.
    channel.endTimer = setTimeout(() => {
      channel.pending = undefined;
      this.#finish(channel);
    }, END_TIMEOUT_MS).unref();
  }

  countReference(by: 1 | -1): void {
    this.#references += by;
    if (this.#isOver) return;
    if (this.#references === 0) this.carrier.unref();
    else if (this.#references === 1 && by === 1) this.carrier.ref();
  }

  // --- Reading ----------------------------------------------------------------------------------------------------

  #read(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.#chunkBytes = chunk.byteLength;
    this.#hooks.onRead?.();
    try {
      this.#reader.push(chunk);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#lose({ code: error.code, message: error.message, reset: false });
      this.carrier.destroy();
    }
  }

  #onBytes(id: number, piece: Uint8Array): void {
    if (this.#isOver) return;
    const channel = this.#channels.get(id);
    if (channel === undefined) {
      // What comes behind our Close is dropped; for a channel that nobody opened there is no reason.
      if (id > this.#highestChannel)
        throw new ProtocolError(WireCode.Protocol, `bytes of channel ${id}, which was not opened`);
      return;
    }
    this.#count(channel, piece.byteLength);
    // Who keeps a small piece of a large chunk would keep all of it.
    this.isLending = this.carrier.lendsChunks || piece.byteLength * 2 < this.#chunkBytes;
    apart(() => channel.take(piece));
    this.isLending = false;
  }

  #onOpen(id: number): void {
    if (this.#isOver) return;
    if (this.#hooks.onChannel === undefined)
      throw new ProtocolError(WireCode.Protocol, 'a server opens no channels');
    if (id <= this.#highestChannel)
      throw new ProtocolError(
        WireCode.Protocol,
        `channel ${id} is opened behind channel ${this.#highestChannel}`,
      );
    this.#highestChannel = id;
    const channel = this.#enter(id);
    let isTaken = true;
    apart(() => (isTaken = this.#hooks.onChannel?.(channel) ?? false));
    if (isTaken) return;
    this.#forget(channel);
    channel.lost(REFUSED);
    this.#batch.add(RecordType.Refused, id);
    this.#flushSoon();
  }

  #onClose(id: number, closed: CarrierClosed): void {
    if (this.#isOver) return;
    const channel = this.#channels.get(id);
    if (channel === undefined) {
      if (id > this.#highestChannel)
        throw new ProtocolError(WireCode.Protocol, `the end of channel ${id}, which was not opened`);
      return;
    }
    this.#forget(channel);
    channel.lost(closed);
    if (this.#channels.size === 0) this.#hooks.onEmpty();
  }

  #onRefused(id: number): void {
    if (this.#hooks.onChannel !== undefined)
      throw new ProtocolError(WireCode.Protocol, 'a client refuses no channels');
    this.#onClose(id, REFUSED);
    this.#hooks.onRefused?.();
  }

  #enter(id: number): Channel {
    const channel = new Channel(id, this, this.#hooks.onChannel === undefined);
    this.#channels.set(id, channel);
    this.countReference(1);
    return channel;
  }

  /** Nothing more of it is sent or read. */
  #forget(channel: Channel): void {
    this.#channels.delete(channel.id);
    clearTimeout(channel.endTimer);
    channel.pending = undefined;
  }

  /** Ends a channel of which all that was written has left. */
  #finish(channel: Channel): void {
    this.#forget(channel);
    this.#batch.add(RecordType.Close, channel.id);
    this.#flushSoon();
    if (this.#channels.size === 0) this.#hooks.onEmpty();
  }

  // --- Writing ----------------------------------------------------------------------------------------------------

  #flushSoon(): void {
    if (this.#isScheduled || this.#isOver) return;
    this.#isScheduled = true;
    setImmediate(flush, this);
  }

  /** @internal The turn of the event loop is over. */
  flushNow(): void {
    this.#isScheduled = false;
    this.#flush();
  }

  #pass(channel: Channel, parts: readonly Uint8Array[]): void {
    this.#busyPollMs = Math.max(this.#busyPollMs, channel.busyPollMs);
    const before = this.#batch.byteLength;
    this.#batch.addBytes(channel.id, parts);
    this.#count(channel, this.#batch.byteLength - before);
    if (this.#batch.byteLength >= SEND_NOW_BYTES) this.#flush();
    else this.#flushSoon();
  }

  #count(channel: Channel, bytes: number): void {
    if (this.#hooks.onBulk !== undefined && channel.isBulkWith(bytes)) this.#hooks.onBulk();
  }

  #awaitDrain(channel: Channel): void {
    if (channel.awaitsDrain) return;
    channel.awaitsDrain = true;
    this.#awaitingDrain.push(channel);
  }

  #flush(): void {
    if (this.#isOver || this.#batch.byteLength === 0) return;
    if (this.#isBlocked) this.#bytesBehindBlock += this.#batch.byteLength;
    if (this.#bytesBehindBlock > QUEUED_BYTES_MAX) {
      this.#lose(NOT_TAKEN);
      this.carrier.destroy();
      return;
    }
    this.carrier.setBusyPoll(this.#busyPollMs);
    this.#busyPollMs = 0;
    if (!this.carrier.write(this.#batch.take())) this.#isBlocked = true;
    else if (this.carrier.bytesQueued === 0) this.drains += 1;
  }

  /** Those that wait have their turn, in the order in which they came, until no more is taken. */
  #drained(): void {
    this.#isBlocked = false;
    this.#bytesBehindBlock = 0;
    this.drains += 1;
    const waiting = this.#awaitingDrain;
    this.#awaitingDrain = [];
    for (const channel of waiting) {
      channel.awaitsDrain = false;
      if (!this.#channels.has(channel.id)) continue;
      if (!this.#isBlocked && channel.pending !== undefined) {
        const { pending } = channel;
        channel.pending = undefined;
        this.#pass(channel, pending);
        if (channel.isClosed) this.#finish(channel);
      }
      if (this.#isBlocked) this.#awaitDrain(channel);
      else apart(() => channel.drained());
    }
  }

  // --- The end ----------------------------------------------------------------------------------------------------

  #abandon(): void {
    this.#lose({
      code: 'ERR_GODWIT_CARRIER_CLOSED',
      message: 'the connection was closed on this side',
      reset: false,
    });
  }

  #lose(closed: CarrierClosed): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const channels = [...this.#channels.values()];
    for (const channel of channels) this.#forget(channel);
    this.#awaitingDrain = [];
    this.#batch.take();
    const told = this.#hooks.explain?.(closed) ?? closed;
    for (const channel of channels) channel.lost(told);
    this.#hooks.onClose(closed);
  }
}

/** What a channel's handler throws is nobody else's: it is thrown in a tick of its own, as from a socket's own event. */
function apart(call: () => void): void {
  try {
    call();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

function flush(trunk: Trunk): void {
  trunk.flushNow();
}
