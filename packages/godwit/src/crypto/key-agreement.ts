/** X25519 with key pairs that are made ahead of need (protocol.md §8.2). */
import {
  createPublicKey,
  diffieHellman,
  generateKeyPair,
  generateKeyPairSync,
  type KeyObject,
  type KeyPairKeyObjectResult,
} from 'node:crypto';
import { withoutStack } from '../wire/index.ts';

export const SHARE_BYTES = 32;

/** How long one pair may serve OPENs, in milliseconds. An agreement costs as much as a TCP connect; a pair, another. */
export const PAIR_LIFETIME_MS = 60_000;

/** How many OPENs one pair may serve. */
export const PAIR_USES = 4096;

/** How long a pair is kept for answers that are on their way, after it served its last OPEN, in milliseconds. */
export const PAIR_KEPT_MS = 120_000;

/** Most pairs kept. Memory cost: about 1 KiB each. Beyond, the oldest is forgotten and its late answers fail. */
export const MAX_PAIRS_KEPT = 64;

/** Most peers of one pair whose secret is remembered. Memory cost: about 300 bytes each. */
export const MAX_AGREED = 256;

export interface KeyPair {
  readonly share: Uint8Array;
  readonly privateKey: KeyObject;
}

interface KeptPair extends KeyPair {
  /** When its last OPEN may have been made; infinite for the pair in use. */
  retiredAt: number;
  /** By the peer's share: a process uses one for many OPENs, and what was agreed is the same each time. */
  readonly agreed: Map<string, Buffer>;
}

export class KeyPairs {
  readonly #now: () => number;
  readonly #pairs = new Map<string, KeptPair>();
  #current: KeptPair | undefined;
  #madeAt = 0;
  #uses = 0;
  #spare: KeyPair | undefined;
  #making = false;

  /** `now` is monotonic, in milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The public share for one more OPEN. */
  share(): Uint8Array {
    const now = this.#now();
    if (this.#current === undefined || now - this.#madeAt >= PAIR_LIFETIME_MS || this.#uses >= PAIR_USES) {
      this.#replace(now);
    }
    this.#uses += 1;
    if (this.#uses > PAIR_USES / 2 || now - this.#madeAt > PAIR_LIFETIME_MS / 2) this.#makeSpare();
    return (this.#current as KeptPair).share;
  }

  /**
   * The secret shared with a peer by a share this object gave out; undefined when that was forgotten, or the peer's share is
   * malformed or of low order. Remembered as long as the pair serves OPENs: from the private key it could be had again anyway.
   */
  agree(share: Uint8Array, peerShare: Uint8Array): Buffer | undefined {
    const pair = this.#pairs.get(textOf(share));
    if (pair === undefined) return undefined;
    const peer = textOf(peerShare);
    const known = pair.agreed.get(peer);
    if (known !== undefined) return known;
    const shared = agree(pair.privateKey, peerShare);
    if (shared === undefined || pair.retiredAt !== Infinity) return shared;
    // A map is in order of insertion: who has not been there before takes the place of who came first.
    if (pair.agreed.size >= MAX_AGREED) pair.agreed.delete(pair.agreed.keys().next().value as string);
    pair.agreed.set(peer, shared);
    return shared;
  }

  #replace(now: number): void {
    if (this.#current !== undefined) {
      this.#current.retiredAt = now;
      this.#current.agreed.clear();
    }
    const pair: KeptPair = { ...(this.#spare ?? createKeyPair()), retiredAt: Infinity, agreed: new Map() };
    this.#spare = undefined;
    this.#current = pair;
    this.#madeAt = now;
    this.#uses = 0;
    this.#pairs.set(textOf(pair.share), pair);
    // A map is in order of insertion, so the oldest come first.
    for (const [text, kept] of this.#pairs) {
      if (kept.retiredAt + PAIR_KEPT_MS > now && this.#pairs.size <= MAX_PAIRS_KEPT) break;
      this.#pairs.delete(text);
    }
  }

  #makeSpare(): void {
    if (this.#making || this.#spare !== undefined) return;
    this.#making = true;
    generateKeyPair(
      'x25519',
      undefined,
      (error: Error | null, publicKey: KeyObject, privateKey: KeyObject) => {
        this.#making = false;
        if (error === null) this.#spare = wrap({ publicKey, privateKey });
      },
    );
  }
}

export function createKeyPair(): KeyPair {
  return wrap(generateKeyPairSync('x25519'));
}

/** The shared secret, or undefined when the peer's share is malformed or of low order (RFC 7748 §6.1). */
export function agree(privateKey: KeyObject, peerShare: Uint8Array): Buffer | undefined {
  if (peerShare.byteLength !== SHARE_BYTES) return undefined;
  const x = Buffer.from(peerShare.buffer, peerShare.byteOffset, SHARE_BYTES).toString('base64url');
  let shared: Buffer;
  try {
    // node asks what kind of key it was given by what throws, and a peer's share may be wrong by the thousands.
    shared = withoutStack(() => {
      const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
      return diffieHellman({ privateKey, publicKey });
    });
  } catch {
    return undefined;
  }
  // OpenSSL refuses an all-zero result by itself; other providers may leave that to their caller.
  return shared.every((byte) => byte === 0) ? undefined : shared;
}

function wrap({ publicKey, privateKey }: KeyPairKeyObjectResult): KeyPair {
  const { x } = publicKey.export({ format: 'jwk' });
  return { share: new Uint8Array(Buffer.from(x as string, 'base64url')), privateKey };
}

function textOf(share: Uint8Array): string {
  return Buffer.from(share.buffer, share.byteOffset, share.byteLength).toString('latin1');
}
