/** Measures how well the present server serves a client session, for the detectors (protocol.md §10.3). */
import type { Cause } from '../wire/index.ts';
import type { Detector } from './detectors.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';
import type { SendBuffer } from './send-buffer.ts';
import { ServerPulses, type ServerPulse } from './server-pulses.ts';

/** A session counts as active for so long after its last byte either way, in ms. */
const ACTIVE_MS = 5000;
/** An active session that hears nothing for so long, or for half of the time since its last byte, asks with a PING, in ms. */
const PROBE_ACTIVE_MS = 250;
/** While bytes move, a session measures its round trip again after this time, in ms: the path may be slow only for a while. */
const REFRESH_ACTIVE_MS = 1000;
/**
 * A session that waits for nothing dozes when its last byte is so long ago, in ms: it looks when its next PING is due. Less than
 * `detectIntervalMs` is by default, so that the first look behind an answer that came soon finds it quiet, and needs no second one.
 */
const DOZE_AFTER_MS = 75;
/** An answer comes in no more pieces than this; what goes on longer is a stream, which may break off in the middle. */
const ANSWER_PIECES_MAX = 4;
/** Looks in a row without a word from the server, before it counts as silent: one alone may come late, after a standstill. */
const SILENT_LOOKS = 3;
/** Weight of the newest sample in the smoothed round-trip time. RFC 6298 gives it less, and has many more of them. */
const SMOOTHING = 1 / 4;

interface Streams {
  readonly send: SendBuffer;
  readonly receive: ReceiveBuffer;
}

interface ProbeTimers {
  readonly detectIntervalMs: number;
  readonly pingIdleMs: number;
}

export class VitalSignsMonitor {
  readonly #detectors: readonly Detector[];
  readonly #pingIntervalMs: number;
  /** All detectors look only for an answer that is overdue. */
  readonly #mayDoze: boolean;
  #lastAliveAt: number;
  #lastActiveAt: number;
  #attachedAt: number;
  /** Since when an answer is outstanding. */
  #waitingSince: number | undefined;
  #ping: { token: number; sentAt: number } | undefined;
  #lastPingAt = -Infinity;
  #nextToken = 1;
  #smoothed: number | undefined;
  #last: number | undefined;
  /** No PONG came from the present server yet: what is smoothed is another one's. */
  #unmeasured = true;
  #asleep = false;
  #dozing = false;
  #looksInSilence = 0;
  /** What other sessions learn of the present server too. */
  #pulse: ServerPulse = ServerPulses.alone();
  /** Pieces of output since the session last spoke. One that has not spoken yet waits for nothing, either. */
  #piecesHeard = 1;

  constructor(detectors: readonly Detector[], now: number) {
    this.#detectors = detectors;
    this.#pingIntervalMs = Math.min(...detectors.map((detector) => detector.pingIntervalMs ?? Infinity));
    this.#mayDoze = detectors.every((detector) => detector.whileWaiting === true);
    this.#lastAliveAt = now;
    this.#lastActiveAt = now;
    this.#attachedAt = now;
  }

  get lastAliveAt(): number {
    return this.#lastAliveAt;
  }
  get roundTripMs(): number | undefined {
    return this.#smoothed;
  }

  /** A session moves or begins. */
  attached(now: number, pulse: ServerPulse = ServerPulses.alone()): void {
    this.#pulse = pulse;
    pulse.heardAt = now;
    this.#attachedAt = now;
    this.#lastAliveAt = now;
    this.#lastActiveAt = now;
    this.#waitingSince = undefined;
    this.#ping = undefined;
    this.#unmeasured = true;
    this.#asleep = false;
    this.#dozing = false;
    this.#looksInSilence = 0;
    for (const detector of this.#detectors) detector.reset();
  }

  /** Anything came from the server. */
  alive(now: number): void {
    this.#lastAliveAt = now;
    this.#pulse.heardAt = now;
    this.#looksInSilence = 0;
    if (this.#waitingSince !== undefined) this.#waitingSince = now;
  }

  /**
   * Bytes move: input when the session speaks, output otherwise. Answers true when it dozed or was asleep, and its looks
   * must be scheduled again.
   */
  active(now: number, speaks: boolean): boolean {
    this.#lastActiveAt = now;
    this.#piecesHeard = speaks ? 0 : this.#piecesHeard + 1;
    const woke = this.#asleep || this.#dozing;
    this.#asleep = false;
    this.#dozing = false;
    return woke;
  }

  /** Input is out, or acknowledged: is an answer outstanding? */
  outstanding(now: number, streams: Streams): void {
    if (streams.send.sent > streams.send.acknowledged || this.#ping) this.#waitingSince ??= now;
    else this.#waitingSince = undefined;
  }

  pong(now: number, token: number): void {
    if (this.#ping?.token !== token) return;
    this.#last = now - this.#ping.sentAt;
    this.#smoothed =
      this.#smoothed === undefined || this.#unmeasured
        ? this.#last
        : this.#smoothed + SMOOTHING * (this.#last - this.#smoothed);
    this.#unmeasured = false;
    this.#ping = undefined;
    this.#pulse.roundTrip = { smoothedMs: this.#smoothed, measuredAt: now };
  }

  /**
   * When the server was last heard of. A carrier on which it has answered, so that nothing is waited for, is to be asked only
   * when nobody hears of its server, or the session is asleep. One that waits for an answer, or for more of a stream, can tell
   * by nothing but its own carrier.
   */
  get #heardAt(): number {
    const hasAnswer = this.#piecesHeard > 0 && this.#piecesHeard <= ANSWER_PIECES_MAX;
    return hasAnswer ? Math.max(this.#lastAliveAt, this.#pulse.heardAt) : this.#lastAliveAt;
  }

  /** Another session has just measured the way to the same server. */
  #takeRoundTrip(now: number): void {
    const { roundTrip } = this.#pulse;
    if (roundTrip === undefined || now - roundTrip.measuredAt >= REFRESH_ACTIVE_MS) return;
    this.#smoothed = roundTrip.smoothedMs;
    this.#unmeasured = false;
  }

  nextLookMs(now: number, timers: ProbeTimers): number {
    if (this.#asleep) return Math.min(timers.pingIdleMs, this.#pingIntervalMs);
    const soon = Math.min(timers.detectIntervalMs, this.#pingIntervalMs);
    this.#dozing =
      this.#mayDoze &&
      !this.#ping &&
      this.#waitingSince === undefined &&
      now - this.#lastActiveAt >= DOZE_AFTER_MS;
    if (!this.#dozing) return soon;
    const heardAt = this.#heardAt;
    const probeAt = Math.max(
      heardAt + PROBE_ACTIVE_MS,
      heardAt + (heardAt - this.#lastActiveAt), // when it is as long ago as it was silent before
    );
    return Math.max(soon, probeAt - now);
  }

  /** After so long a silence a PING is due. */
  #maxSilenceMs(now: number, timers: ProbeTimers): number {
    if (this.#asleep) return timers.pingIdleMs;
    return Math.max(PROBE_ACTIVE_MS, (now - this.#lastActiveAt) / 2);
  }

  /** The token of a PING to send now, if one is due. */
  probe(now: number, timers: ProbeTimers, streams: Streams): number | undefined {
    this.outstanding(now, streams); // an answer that came since the last look is no longer waited for
    this.#asleep =
      now - this.#lastActiveAt > ACTIVE_MS && this.#waitingSince === undefined && this.#ping === undefined;
    if (this.#ping) return undefined;
    this.#takeRoundTrip(now);
    const silentMs = now - (this.#asleep ? this.#lastAliveAt : this.#heardAt);
    const measuredAt = Math.max(this.#lastPingAt, this.#pulse.roundTrip?.measuredAt ?? -Infinity);
    const due =
      this.#unmeasured ||
      (this.#pingIntervalMs < Infinity && now - this.#lastPingAt >= this.#pingIntervalMs) ||
      (this.#lastActiveAt > this.#lastPingAt && now - measuredAt >= REFRESH_ACTIVE_MS) ||
      silentMs >= this.#maxSilenceMs(now, timers);
    if (!due) return undefined;
    this.#ping = { token: this.#nextToken, sentAt: now };
    this.#lastPingAt = now;
    this.#nextToken += 1;
    this.outstanding(now, streams);
    return this.#ping.token;
  }

  /** The cause to migrate for, if a detector sees one. */
  check(now: number, streams: Streams): Cause | undefined {
    this.#looksInSilence += 1;
    this.outstanding(now, streams);
    const signs = {
      now,
      roundTripMs: this.#smoothed,
      lastRoundTripMs: this.#last,
      waitingMs: this.#waitingSince === undefined ? 0 : now - this.#waitingSince,
      receivedBytes: streams.receive.received,
      unreadBytes: streams.receive.heldBytes,
      attachedMs: now - this.#attachedAt,
    };
    return this.#detectors.find((detector) => detector.check(signs))?.cause;
  }

  /** Nothing came for so long, though PING asked for it. */
  isSilent(now: number, forMs: number): boolean {
    return this.#looksInSilence >= SILENT_LOOKS && now - this.#lastAliveAt >= forMs;
  }

  isQuiet(now: number, forMs: number): boolean {
    return now - this.#lastActiveAt >= forMs;
  }
}
