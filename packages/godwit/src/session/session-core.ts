/**
 * What the parts of a session at a server share (protocol.md §10.2, §14.2): its state, its timers, its carrier, its
 * streams. The parts change it; nothing here decides. They build on each other in one direction: output, cadence of
 * snapshots, end, attachment, frames, clock, and the session itself on top.
 */
import type { Failure } from './client-events.ts';
import { Deadlines } from './deadlines.ts';
import { Protection } from './protection.ts';
import { ReplayWatch } from './replay-watch.ts';
import type { ServerSession } from './server-session.ts';
import { SERVER_TRANSITIONS, type ServerState, type ServerTransition } from './server-state.ts';
import type { ServerStreams } from './server-streams.ts';
import type { SessionHost, SessionInit } from './session-host.ts';
import { SessionFence } from './session-fence.ts';
import { SnapshotSender } from './snapshot-sender.ts';
import { nextState } from './state-table.ts';

export type SessionTimer =
  /** When a delayed ACK goes out. */
  | 'ack'
  /** When a snapshot is due by time. */
  | 'snapshot'
  /** When a blocked client goes on unprotected. */
  | 'unprotect'
  /** When re-execution has made no progress for a part of the time it has. */
  | 'replay'
  /** When an attach that nobody confirmed dies. */
  | 'attach'
  /** When a session without a carrier is destroyed. */
  | 'detached'
  /** When a frozen session nobody came back for is destroyed. */
  | 'frozen'
  /** When an ended session no longer waits for its last acknowledgement. */
  | 'linger'
  /** When a live session gets a fresh ticket. */
  | 'ticket'
  /** When the fence is asked again: for a ticket it held back, or whether the session was left behind. */
  | 'fence'
  /** When a quiet carrier is probed. */
  | 'ping';

export class SessionCore {
  /** The session all of this is: events and the node name it. */
  readonly session: ServerSession;
  readonly host: SessionHost;
  readonly sessionId: Uint8Array;
  /** 32 bytes, shared with the client alone. */
  readonly secret: Uint8Array;
  readonly service: string;
  readonly streams: ServerStreams;
  readonly snapshots: SnapshotSender;
  readonly protection: Protection;
  readonly fence: SessionFence | undefined;
  readonly timers = new Deadlines<SessionTimer>();
  readonly replay: ReplayWatch;
  /** Control frames for the present carrier. */
  readonly control: Uint8Array[] = [];
  readonly maxBodyBytes: number;
  state: ServerState;
  epoch: number;
  /** Highest epoch any authenticated request named: lower ones are stale. */
  highestEpoch: number;
  carrierId: number | undefined;
  /** The present attach is confirmed: only then tickets are written. */
  confirmed: boolean;
  /** The session has lived here with its client's consent: it outlives an attach that nobody confirms. */
  everConfirmed: boolean;
  k: number;
  /** Calls of `write` by the application. */
  writes = 0;
  ackNow = false;
  drainWanted = false;
  applicationGone: boolean;
  /** It came here when its application was gone already: its restart point is the end of all. */
  readonly isRemainder: boolean;
  finConsumed: boolean;
  closeSent = false;
  pendingReset: { code: number; message: string } | undefined;
  failure: Failure | undefined;
  detach: { readonly epoch: number; ready: boolean; sent: boolean } | undefined;
  acceptPayload: Uint8Array | undefined;
  /** A resume whose ACCEPT is being made: output from there on is kept for it, though the client acknowledges more. */
  resuming: { readonly epoch: number; readonly outputStart: number } | undefined;
  established: boolean;
  lastHeardAt: number;
  pingOut = false;

  constructor(session: ServerSession, host: SessionHost, init: SessionInit) {
    this.session = session;
    this.host = host;
    this.sessionId = init.sessionId;
    this.secret = init.secret;
    this.service = init.service;
    this.streams = init.streams;
    this.maxBodyBytes = init.maxBodyBytes;
    this.state = init.state;
    this.confirmed = init.state === 'active';
    this.everConfirmed = this.confirmed;
    this.established = init.state === 'offered';
    this.epoch = init.epoch;
    this.highestEpoch = init.epoch;
    this.k = init.point.k;
    this.applicationGone = init.terminal;
    this.isRemainder = init.terminal;
    this.finConsumed = init.point.inputFinished;
    this.lastHeardAt = host.now;
    const { limits, timers, delivery } = host.config;
    this.snapshots = new SnapshotSender(
      { limits, timers, delivery, slots: host.snapshotSlots },
      init.point,
      init.covered,
      host.now,
    );
    this.protection = new Protection({
      delivery,
      streams: init.streams,
      snapshots: this.snapshots,
      retainLimitBytes: init.retainLimitBytes,
      lost: init.lost,
    });
    this.fence = host.config.fence && new SessionFence(this, host.config.fence);
    this.timers.set('ping', host.now + timers.pingIdleMs);
    this.timers.set('ticket', host.now + timers.ticketLifetimeMs / 2);
    if (init.state === 'offered') this.timers.set('attach', host.now + timers.attachTimeoutMs);
    this.replay = new ReplayWatch(this);
  }

  get now(): number {
    return this.host.now;
  }
  /** Bytes that moved either way: what the cadence of snapshots counts. */
  get dataBytes(): number {
    return this.streams.produced + this.streams.receive.received;
  }
  /** Input offset up to which `read` handed out bytes, since the session's offset 0. */
  get received(): number {
    return this.streams.receive.handed - (this.streams.receive.finHanded && this.#restoredFinished ? 1 : 0);
  }
  get #restoredFinished(): boolean {
    return (
      this.streams.receive.finOffset !== undefined &&
      this.streams.receive.handed > this.streams.receive.finOffset
    );
  }

  setState(event: ServerTransition): void {
    this.state = nextState(SERVER_TRANSITIONS, this.state, event);
  }

  /** The session has something to transmit, or its timers changed. */
  touch(): void {
    this.host.touch(this.session);
  }
}
