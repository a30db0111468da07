/** The cryptography that the core asks for, from node:crypto (protocol.md §8). Every request is answered at once. */
import { timingSafeEqual } from 'node:crypto';
import { concatBytes, encodeText, MAC_BYTES } from '../wire/index.ts';
import type { CryptoOperation, CryptoRequest, CryptoResult, MacLabel } from '../session/crypto.ts';
import { HASH_BYTES, hkdf, truncatedHmac } from './hmac.ts';
import { KeyPairs } from './key-agreement.ts';
import type { ClusterKey, KeyRing } from './key-ring.ts';
import { TicketSealing } from './ticket-sealing.ts';

const SESSION_INFO = encodeText('godwit/1 session');
const TRIGGER_INFO = encodeText('godwit/1 trigger');
const MASK_LABEL = encodeText('godwit/1 trigger mask');
const NO_KEY = new Uint8Array(0);

export interface NodeCryptoOptions {
  /** Servers only. */
  readonly ring?: KeyRing | undefined;
  /** Milliseconds since 1970, by which tickets expire. */
  readonly wallClock?: (() => number) | undefined;
  /** Monotonic milliseconds, by which key pairs age. */
  readonly now?: (() => number) | undefined;
  /** IVs of tickets; tests fix them. */
  readonly random?: ((bytes: number) => Uint8Array) | undefined;
}

type Handlers = { readonly [O in CryptoOperation]: (request: CryptoRequest<O>) => CryptoResult<O> };

export class NodeCrypto {
  readonly #pairs: KeyPairs;
  readonly #ring: KeyRing | undefined;
  readonly #sealing: TicketSealing | undefined;

  constructor(options: NodeCryptoOptions = {}) {
    const { ring, random } = options;
    this.#pairs = new KeyPairs(options.now ?? (() => performance.now()));
    this.#ring = ring;
    // tidy-allow: other servers read the expiry of a ticket
    const wallClock = options.wallClock ?? Date.now;
    this.#sealing = ring && new TicketSealing({ ring, wallClock, ...(random && { random }) });
  }

  /** The X25519 public share for one more OPEN, or one more answer to an OPEN. */
  keyShare(): Uint8Array {
    return this.#pairs.share();
  }

  /** Throws only when a client asks for what takes the cluster's keys: that is our own bug. */
  execute<O extends CryptoOperation>(request: CryptoRequest<O>): CryptoResult<O> {
    const handle = this.#handlers[request.op] as (request: CryptoRequest<O>) => CryptoResult<O>;
    return handle(request);
  }

  readonly #handlers: Handlers = {
    agree: ({ ourShare, peerShare, salt, sessionId }) => {
      const shared = this.#pairs.agree(ourShare, peerShare);
      // A copy of its own: a session keeps its secret, and must not keep a slab of node's buffer pool with it.
      return { secret: shared && new Uint8Array(hkdf(shared, salt, concatBytes([SESSION_INFO, sessionId]))) };
    },
    mac: ({ secret, label, data }) => ({ mac: computeMac(secret, label, data) }),
    verify: ({ secret, label, data, mac }) => ({
      ok: mac.byteLength === MAC_BYTES && timingSafeEqual(computeMac(secret, label, data), mac),
    }),
    seal: ({ head, body }) => this.#needSealing().seal(head, body),
    open: ({ head }) => this.#needSealing().open(head),
    openBody: ({ head, body }) => ({ body: this.#needSealing().openBody(head, body) }),
    maskTriggerKey: ({ sessionId, secret }) => {
      const { id, key } = this.#triggerKey(sessionId);
      const [, other] = this.#needRing().keys;
      return { keyId: id, masked: mask(secret, id, key), otherKeyId: other?.id ?? NO_KEY };
    },
    unmaskTriggerKey: ({ secret, keyId, masked }) => ({ key: mask(secret, keyId, masked) }),
    authorize: () => {
      throw new Error(
        'the application authorizes, not cryptography: a node asks only where there is such a hook',
      );
    },
    fence: () => {
      throw new Error('the fence is no cryptography: a node asks only where there is one');
    },
    triggerMac: ({ sessionId, data }) => ({
      mac: computeMac(this.#triggerKey(sessionId).key, 'trigger', data),
    }),
  };

  #triggerKey(sessionId: Uint8Array): { id: Uint8Array; key: Uint8Array } {
    const newest: ClusterKey = this.#needRing().newest;
    return { id: newest.id, key: newest.derive(sessionId, TRIGGER_INFO) };
  }

  #needRing(): KeyRing {
    if (this.#ring === undefined)
      throw new Error('this needs the keys of the cluster, which only servers have');
    return this.#ring;
  }

  #needSealing(): TicketSealing {
    this.#needRing();
    return this.#sealing as TicketSealing;
  }
}

/** `godwit/1 ` ‖ label ‖ 0, encoded once for each label. */
const contexts = new Map<MacLabel, Uint8Array>();

function contextOf(label: MacLabel): Uint8Array {
  let context = contexts.get(label);
  if (context === undefined) {
    context = encodeText(`godwit/1 ${label}\0`);
    contexts.set(label, context);
  }
  return context;
}

function computeMac(secret: Uint8Array, label: MacLabel, data: readonly Uint8Array[]): Uint8Array {
  return truncatedHmac(secret, [contextOf(label), ...data], MAC_BYTES);
}

/** XOR with a stream that only the two ends of the session know: masks, and takes the mask off again. */
function mask(secret: Uint8Array, keyId: Uint8Array, key: Uint8Array): Uint8Array {
  const masked = truncatedHmac(secret, [MASK_LABEL, keyId], HASH_BYTES);
  for (let at = 0; at < masked.byteLength; at += 1) masked[at] = (masked[at] as number) ^ (key[at] ?? 0);
  return masked;
}
