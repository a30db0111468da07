/**
 * What the core asks of cryptography (protocol.md §8). The core never computes any of this itself: it emits a request
 * and takes the result back, at once or later, so that a synchronous library and Web Crypto both fit.
 */
import type { WireCode } from '../wire/index.ts';
import type { FenceAnswer, FenceQuestion } from './fence-rules.ts';
import type { TicketHead } from './ticket.ts';
import { Roster } from './roster.ts';

/** Contexts that keep a MAC made for one purpose from serving another. */
export type MacLabel =
  | 'support'
  | 'standby'
  | 'migrate'
  | 'accept'
  | 'confirm'
  | 'reset-client'
  | 'reset-server'
  | 'close-client'
  | 'close-server'
  | 'detach'
  | 'detached'
  | 'frozen'
  | 'trigger';

/** Why a client is turned away. */
export interface Denial {
  readonly message: string;
  /** Another server may decide otherwise. */
  readonly tryElsewhere: boolean;
}

interface Operations {
  /** Session secret from an X25519 agreement: HKDF-SHA-256 (shared, salt, `godwit/1 session` ‖ sessionId), 32 bytes. */
  agree: {
    request: { ourShare: Uint8Array; peerShare: Uint8Array; salt: Uint8Array; sessionId: Uint8Array };
    /** Undefined when the peer's share is of low order or malformed. */
    result: { secret: Uint8Array | undefined };
  };
  /** HMAC-SHA-256 (secret, `godwit/1 ` ‖ label ‖ 0 ‖ data…), cut to 16 bytes. */
  mac: {
    request: { secret: Uint8Array; label: MacLabel; data: readonly Uint8Array[] };
    result: { mac: Uint8Array };
  };
  /** Compares in constant time. */
  verify: {
    request: { secret: Uint8Array; label: MacLabel; data: readonly Uint8Array[]; mac: Uint8Array };
    result: { ok: boolean };
  };
  /** Server: seals a ticket under the ring's newest key. */
  seal: { request: { head: TicketHead; body: Uint8Array }; result: { head: Uint8Array; body: Uint8Array } };
  /** Server: opens a ticket head with whichever key of the ring sealed it. */
  open: { request: { head: Uint8Array }; result: { head: TicketHead } | { refused: WireCode } };
  /** Server: opens a body; undefined when it is not the one its head names. */
  openBody: { request: { head: TicketHead; body: Uint8Array }; result: { body: Uint8Array | undefined } };
  /** Server: the session's trigger key, masked under its secret, for SUPPORT. */
  maskTriggerKey: {
    request: { sessionId: Uint8Array; secret: Uint8Array };
    /** `otherKeyId`: of the next newest key of the ring; empty where there is none. */
    result: { keyId: Uint8Array; masked: Uint8Array; otherKeyId: Uint8Array };
  };
  /** Client: the trigger key out of SUPPORT. */
  unmaskTriggerKey: {
    request: { secret: Uint8Array; keyId: Uint8Array; masked: Uint8Array };
    result: { key: Uint8Array };
  };
  /**
   * Server: may this client begin, or take up, a session here? Asked of the application, before anything is made or fetched
   * for it (`ServerNodeConfig.authorizes`).
   */
  authorize: {
    request: { kind: 'open' | 'migrate'; carrierId: number; sessionId: Uint8Array };
    result: { denied: Denial | undefined };
  };
  /**
   * Server: asks the fence, where there is one (`ServerNodeConfig.fence`). It is answered within `fenceTimeoutMs`, with
   * `unavailable` if need be.
   */
  fence: { request: { question: FenceQuestion }; result: FenceAnswer };
  /** Server: MAC of a TRIGGER for any session of the cluster, under its trigger key. */
  triggerMac: {
    request: { sessionId: Uint8Array; data: readonly Uint8Array[] };
    result: { mac: Uint8Array };
  };
}

export type CryptoOperation = keyof Operations;
export type CryptoRequest<O extends CryptoOperation = CryptoOperation> = {
  [P in O]: { readonly op: P } & Readonly<Operations[P]['request']>;
}[O];
export type CryptoResult<O extends CryptoOperation = CryptoOperation> = Operations[O]['result'];

/** A request under way; `handleCrypto(now, id, result)` answers it. */
export interface CryptoEvent {
  readonly type: 'crypto';
  readonly id: number;
  readonly request: CryptoRequest;
}

/** No literal: V8 may make those in its old space, where they keep all that `then` knows (roster.ts). */
class Asked {
  readonly id: number;
  readonly then: (result: never) => void;

  constructor(id: number, then: (result: never) => void) {
    this.id = id;
    this.then = then;
  }
}

/** Requests that wait for their result. One owner, one book. */
export class CryptoBook {
  readonly #emit: (event: CryptoEvent) => void;
  /** The only one that waits: with cryptography that answers at once there is never another. */
  #first: Asked | undefined;
  #others: Roster<number, (result: never) => void> | undefined;
  #nextId = 1;
  constructor(emit: (event: CryptoEvent) => void) {
    this.#emit = emit;
  }
  get size(): number {
    return (this.#first === undefined ? 0 : 1) + (this.#others?.size ?? 0);
  }
  ask<O extends CryptoOperation>(
    request: CryptoRequest<O> & CryptoRequest,
    then: (result: CryptoResult<O>) => void,
  ): void {
    const id = this.#nextId;
    this.#nextId += 1;
    if (this.#first === undefined) this.#first = new Asked(id, then);
    else (this.#others ??= new Roster()).set(id, then);
    this.#emit({ type: 'crypto', id, request });
  }
  /** Answers of requests that were dropped meanwhile are ignored. */
  answer(id: number, result: CryptoResult): void {
    if (this.#first?.id === id) {
      const { then } = this.#first;
      this.#first = undefined;
      then(result as never);
      return;
    }
    const then = this.#others?.get(id);
    this.#others?.delete(id);
    then?.(result as never);
  }
  clear(): void {
    this.#first = undefined;
    this.#others = undefined;
  }
}
