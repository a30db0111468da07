/**
 * All links between this server and its peers (protocol.md §9.1): dialled when there is something to send, used in both
 * directions whoever dialled. When two servers dial each other at once both links live, and each side goes on
 * sending on the one that opened first for it, so that what one side sends stays in order. A link lives no longer than the
 * cluster key that it was made with is in the ring.
 */
import { WireCode, errorCodeOf, type PeerFrame, type ServerAddress } from '../wire/index.ts';
import { networkOf } from '../carriers/address.ts';
import type { Carrier, Dial, Transport } from '../carriers/carrier.ts';
import type { KeyRing } from '../crypto/key-ring.ts';
import { PeerChannel } from './peer-channel.ts';
import { PeerLink, type PeerLinkClosed, type PeerLinkEvents } from './peer-link.ts';

/** When to give up on a link to a peer, handshake included, in milliseconds. Default of `dialTimeoutMs`. */
export const PEER_DIAL_TIMEOUT_MS = 1_000;

/** When to close a link that carries nothing, in milliseconds. Default of `idleTimeoutMs`. */
export const PEER_IDLE_TIMEOUT_MS = 5 * 60_000;

/**
 * Bytes that may wait for one peer. Memory cost: as much a peer. It must hold the state of the largest session, since
 * that is sent in one go; a peer that takes nothing while more comes is given up as lost. Default of `queueLimitBytes`.
 */
export const PEER_QUEUE_LIMIT_BYTES = 64 * 1024 * 1024;

/** Incoming links that have not proved the key yet; more are refused. Memory cost: about 5 KiB each. */
export const MAX_PENDING_LINKS = 256;

/** The same from one address (of IPv6, one network of 64 bits), so that nobody keeps the members of a cluster apart by himself. */
export const MAX_PENDING_LINKS_PER_ADDRESS = 32;

/** Bytes sealed and written in one go. */
const WRITE_BYTES = 256 * 1024;

/** Something that went wrong on a link, for the log. */
export interface PeerLinkFailure {
  readonly code: string;
  readonly message: string;
  /** The name of the peer, once it is known. */
  readonly peerName: string | undefined;
  readonly remoteAddress: string | undefined;
}

export interface PeerLinksOptions {
  readonly ring: KeyRing;
  readonly transport: Transport;
  /** What this server tells peers of itself; its port may be known only once it listens. */
  readonly self: () => ServerAddress;
  /** `peer` is what an owner of the cluster's key says of itself. */
  readonly onFrame: (peer: ServerAddress, frame: PeerFrame) => void;
  /** What was sent to this peer may be lost, and what it sent too; or it could not be reached. */
  readonly onLost: (peerName: string) => void;
  readonly onFailure?: ((failure: PeerLinkFailure) => void) | undefined;
  readonly dialTimeoutMs?: number | undefined;
  readonly idleTimeoutMs?: number | undefined;
  readonly queueLimitBytes?: number | undefined;
}

interface Peer {
  address: ServerAddress;
  /** In the order in which they opened; the first one sends. */
  readonly links: PeerLink[];
  dial: Dial | undefined;
  /** The dialled link during its handshake. */
  dialled: PeerLink | undefined;
  queue: Uint8Array[];
  queuedBytes: number;
  isBlocked: boolean;
  isFlushScheduled: boolean;
}

export class PeerLinks {
  readonly #options: PeerLinksOptions;
  readonly #peers = new Map<string, Peer>();
  /** The peer of each open link. */
  readonly #owners = new Map<PeerLink, Peer>();
  readonly #pending = new Set<PeerLink>();
  /** Peers whose frames of this tick wait for its end. */
  #unflushed: Peer[] = [];
  /** No longer follows the ring. */
  readonly #forgetRing: () => void;
  #isClosed = false;

  constructor(options: PeerLinksOptions) {
    this.#options = options;
    this.#forgetRing = options.ring.subscribe(() => {
      for (const link of this.#allLinks()) link.endIfRevoked();
    });
  }

  /** Open links. */
  get size(): number {
    return this.#owners.size;
  }

  /**
   * Sends the bytes of whole frames, dialling if need be. They must not be changed until they are flushed. A failure
   * comes as `onLost`, later; frames sent to a peer on one side of an `onLost` never follow those on the other.
   */
  send(address: ServerAddress, bytes: Uint8Array): void {
    if (this.#isClosed) return;
    const peer = this.#peerAt(address);
    peer.queue.push(bytes);
    peer.queuedBytes += bytes.byteLength;
    const limit = this.#options.queueLimitBytes ?? PEER_QUEUE_LIMIT_BYTES;
    if (peer.queuedBytes > limit) {
      const message = `more than ${limit} bytes wait for peer ${address.name}`;
      // Later, since the caller is in the middle of something.
      setImmediate(() => this.#giveUp(peer, errorCodeOf(WireCode.LimitExceeded), message));
    } else if (peer.links.length > 0) {
      this.#scheduleFlush(peer);
    } else {
      this.#dial(peer);
    }
  }

  /** Sends what was given to `send` in this tick, which else leaves at its end. */
  flush(): void {
    if (this.#unflushed.length === 0) return;
    const peers = this.#unflushed;
    this.#unflushed = [];
    for (const peer of peers) {
      peer.isFlushScheduled = false;
      this.#flush(peer);
    }
  }

  /** Sets a link up ahead of need. */
  warm(address: ServerAddress): void {
    if (this.#isClosed) return;
    const peer = this.#peerAt(address);
    if (peer.links.length === 0) this.#dial(peer);
  }

  /** Takes a carrier whose preface says that a peer is at its other end. `alreadyRead` begins with that preface. */
  accept(carrier: Carrier, alreadyRead: Uint8Array): void {
    if (this.#isClosed || this.#hasTooManyPending(carrier.remoteAddress)) {
      carrier.destroy();
      return;
    }
    const channel = PeerChannel.respond({ ring: this.#options.ring, self: this.#options.self() });
    this.#pending.add(this.#createLink(carrier, channel, alreadyRead));
  }

  #hasTooManyPending(address: string | undefined): boolean {
    if (this.#pending.size >= MAX_PENDING_LINKS) return true;
    if (address === undefined) return false;
    const network = networkOf(address);
    let count = 0;
    for (const { remoteAddress } of this.#pending)
      if (remoteAddress !== undefined && networkOf(remoteAddress) === network) count += 1;
    return count >= MAX_PENDING_LINKS_PER_ADDRESS;
  }

  /** Ends all links, once what was sent is flushed; nothing is reported any more. */
  close(): void {
    if (this.#isClosed) return;
    for (const peer of this.#peers.values()) {
      peer.dial?.cancel();
      // Frames of this very tick.
      this.#flush(peer);
    }
    this.#isClosed = true;
    this.#forgetRing();
    for (const link of this.#allLinks()) link.end(errorCodeOf(WireCode.None), 'closed');
    this.#peers.clear();
    this.#owners.clear();
    this.#pending.clear();
  }

  /** Those in their handshake included. */
  #allLinks(): PeerLink[] {
    const dialled = [...this.#peers.values()].flatMap((peer) => peer.dialled ?? []);
    return [...this.#owners.keys(), ...this.#pending, ...dialled];
  }

  #peerAt(address: ServerAddress): Peer {
    let peer = this.#peers.get(address.name);
    if (peer === undefined) {
      peer = {
        address,
        links: [],
        dial: undefined,
        dialled: undefined,
        queue: [],
        queuedBytes: 0,
        isBlocked: false,
        isFlushScheduled: false,
      };
      this.#peers.set(address.name, peer);
    }
    peer.address = address;
    return peer;
  }

  #dial(peer: Peer): void {
    if (peer.dial !== undefined || peer.dialled !== undefined) return;
    const { address } = peer;
    const timeoutMs = this.#options.dialTimeoutMs ?? PEER_DIAL_TIMEOUT_MS;
    const deadline = performance.now() + timeoutMs;
    peer.dial = this.#options.transport.dial(address, { timeoutMs, unixSockets: true }, (error, carrier) => {
      peer.dial = undefined;
      if (carrier === undefined) {
        this.#onDialFailed(peer, error?.code ?? '', error?.message ?? '', undefined);
        return;
      }
      const channel = PeerChannel.initiate(
        { ring: this.#options.ring, self: this.#options.self() },
        address.name,
      );
      peer.dialled = this.#createLink(carrier, channel, undefined, Math.max(1, deadline - performance.now()));
    });
  }

  #createLink(
    carrier: Carrier,
    channel: PeerChannel,
    alreadyRead?: Uint8Array,
    handshakeTimeoutMs?: number,
  ): PeerLink {
    const timers = {
      handshakeTimeoutMs: handshakeTimeoutMs ?? this.#options.dialTimeoutMs ?? PEER_DIAL_TIMEOUT_MS,
      idleTimeoutMs: this.#options.idleTimeoutMs ?? PEER_IDLE_TIMEOUT_MS,
    };
    return new PeerLink(carrier, channel, timers, this.#linkEvents, alreadyRead);
  }

  readonly #linkEvents: PeerLinkEvents = {
    onOpen: (link, address) => {
      this.#pending.delete(link);
      const peer = this.#peerAt(address);
      if (peer.dialled === link) peer.dialled = undefined;
      peer.links.push(link);
      this.#owners.set(link, peer);
      this.#flush(peer);
    },
    onFrame: (link, frame) => {
      const peer = this.#owners.get(link);
      if (peer !== undefined) this.#options.onFrame(peer.address, frame);
    },
    onWritable: (link) => {
      const peer = this.#owners.get(link);
      if (peer?.links[0] !== link) return;
      peer.isBlocked = false;
      this.#flush(peer);
    },
    onClosed: (link, closed) => this.#onLinkClosed(link, closed),
  };

  #onLinkClosed(link: PeerLink, closed: PeerLinkClosed): void {
    if (this.#isClosed) return;
    const { code, message } = closed;
    const peer = this.#owners.get(link);
    if (peer === undefined) {
      this.#pending.delete(link);
      const dialling = [...this.#peers.values()].find(({ dialled }) => dialled === link);
      if (dialling === undefined) this.#report(code, message, undefined, link);
      else this.#onDialFailed(dialling, code, message, link);
      return;
    }
    this.#owners.delete(link);
    const wasSending = peer.links[0] === link;
    peer.links.splice(peer.links.indexOf(link), 1);
    if (closed.isGraceful) {
      if (wasSending) peer.isBlocked = false;
      if (peer.queue.length === 0) this.#forget(peer);
      else if (peer.links.length > 0) this.#scheduleFlush(peer);
      else this.#dial(peer);
      return;
    }
    this.#report(code, message, peer, link);
    // The rest of what was queued would follow a gap.
    if (wasSending) this.#dropQueue(peer);
    this.#forget(peer);
    this.#options.onLost(peer.address.name);
  }

  #onDialFailed(peer: Peer, code: string, message: string, link: PeerLink | undefined): void {
    peer.dialled = undefined;
    this.#report(code, message, peer, link);
    // The peer may have dialled us meanwhile.
    if (peer.links.length > 0) return;
    this.#dropQueue(peer);
    this.#forget(peer);
    this.#options.onLost(peer.address.name);
  }

  #giveUp(peer: Peer, code: string, message: string): void {
    // Several sends may have gone over the limit.
    if (this.#isClosed || peer.queue.length === 0) return;
    this.#dropQueue(peer);
    const { dial, dialled } = peer;
    peer.dial = undefined;
    dial?.cancel();
    const links = dialled === undefined ? [...peer.links] : [...peer.links, dialled];
    for (const link of links) link.end(code, message);
    if (links.length > 0) return;
    this.#report(code, message, peer, undefined);
    this.#forget(peer);
    this.#options.onLost(peer.address.name);
  }

  /** Frames of one tick share records and a system call. */
  #scheduleFlush(peer: Peer): void {
    if (peer.isFlushScheduled) return;
    peer.isFlushScheduled = true;
    this.#unflushed.push(peer);
    if (this.#unflushed.length === 1) queueMicrotask(() => this.flush());
  }

  #flush(peer: Peer): void {
    const link = peer.links[0];
    while (link?.isOpen === true && !peer.isBlocked && peer.queue.length > 0) {
      const parts: Uint8Array[] = [];
      let bytes = 0;
      for (const part of peer.queue) {
        if (bytes >= WRITE_BYTES) break;
        parts.push(part);
        bytes += part.byteLength;
      }
      peer.queue.splice(0, parts.length);
      peer.queuedBytes -= bytes;
      peer.isBlocked = !link.send(parts);
    }
  }

  #dropQueue(peer: Peer): void {
    peer.queue = [];
    peer.queuedBytes = 0;
    peer.isBlocked = false;
  }

  /** Forgets a peer of whom nothing is left. */
  #forget(peer: Peer): void {
    const isBusy = peer.links.length > 0 || peer.dial !== undefined || peer.dialled !== undefined;
    if (!isBusy && this.#peers.get(peer.address.name) === peer) this.#peers.delete(peer.address.name);
  }

  #report(code: string, message: string, peer: Peer | undefined, link: PeerLink | undefined): void {
    this.#options.onFailure?.({
      code,
      message,
      peerName: peer?.address.name,
      remoteAddress: link?.remoteAddress,
    });
  }
}
