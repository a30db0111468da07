/**
 * What the core asks of cryptography, answered by checksums: no secrecy and no strength, but every proof, seal and key has
 * its real length, verifies where it should, and fails where a byte differs. Runs of very many small worlds spend most of
 * their time in real cryptography otherwise. What it leaves out has its own tests, in packages/godwit/src/crypto.
 */
import type { KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import {
  decodeTicketHead,
  encodeTicketHead,
  type CryptoRequest,
  type CryptoResult,
  type TicketHead,
} from '../../packages/godwit/src/session/index.ts';
import { ProtocolError, WireCode, concatBytes, encodeText } from '../../packages/godwit/src/wire/index.ts';

const SHARE_BYTES = 32;
const SECRET_BYTES = 32;
const MAC_BYTES = 16;
/** A sealed head: version 1, key id 8, session id 16, iv 12, the head, tag 16 (protocol.md §8.4). */
const KEY_ID_AT = 1;
const SESSION_ID_AT = 9;
const IV_AT = 25;
const IV_BYTES = 12;
const HEAD_AT = IV_AT + IV_BYTES;
const TAG_BYTES = 16;
const EMPTY = new Uint8Array(0);

export interface QuickCryptoOptions {
  /** Servers only. */
  readonly ring?: KeyRing | undefined;
  readonly wallClock?: (() => number) | undefined;
  readonly random: (bytes: number) => Uint8Array;
}

export class QuickCrypto {
  readonly #options: QuickCryptoOptions;

  constructor(options: QuickCryptoOptions) {
    this.#options = options;
  }

  keyShare(): Uint8Array {
    return this.#options.random(SHARE_BYTES);
  }

  execute(request: CryptoRequest): CryptoResult {
    switch (request.op) {
      case 'agree': {
        const { ourShare, peerShare, salt, sessionId } = request;
        if (peerShare.byteLength !== SHARE_BYTES) return { secret: undefined };
        const shared = ourShare.map((byte, i) => byte ^ (peerShare[i] as number)); // the same from either side
        return { secret: checksum([shared, salt, sessionId], SECRET_BYTES) };
      }
      case 'mac':
        return { mac: proof(request.secret, request.label, request.data) };
      case 'verify':
        return { ok: equal(proof(request.secret, request.label, request.data), request.mac) };
      case 'seal':
        return this.#seal(request.head, request.body);
      case 'open':
        return this.#open(request.head);
      case 'openBody':
        return { body: this.#openBody(request.head, request.body) };
      case 'maskTriggerKey': {
        const keyId = this.#ring.newest.id;
        const [, other] = this.#ring.keys;
        const masked = mask(request.secret, keyId, triggerKey(keyId, request.sessionId));
        return { keyId, masked, otherKeyId: other?.id ?? EMPTY };
      }
      case 'unmaskTriggerKey':
        return { key: mask(request.secret, request.keyId, request.masked) };
      case 'authorize':
      case 'fence':
        throw new Error(`the world answers ${request.op}, not cryptography`);
      case 'triggerMac':
        return {
          mac: proof(triggerKey(this.#ring.newest.id, request.sessionId), 'trigger', request.data),
        };
    }
  }

  get #ring(): KeyRing {
    if (this.#options.ring === undefined) throw new Error('only servers have the keys of the cluster');
    return this.#options.ring;
  }

  #seal(head: TicketHead, state: Uint8Array): { head: Uint8Array; body: Uint8Array } {
    const keyId = this.#ring.newest.id;
    const { random } = this.#options;
    const body = state.byteLength === 0 ? EMPTY : concatBytes([random(IV_BYTES), state, EMPTY_TAG]);
    if (body.byteLength > 0) body.set(bodyTag(keyId, head, body), body.byteLength - TAG_BYTES);
    const plain = encodeTicketHead({
      ...head,
      bodyHash: checksum([body], SECRET_BYTES),
      bodyBytes: body.byteLength,
    });
    const sealed = new Uint8Array(HEAD_AT + plain.byteLength + TAG_BYTES);
    sealed[0] = 1;
    sealed.set(keyId, KEY_ID_AT);
    sealed.set(head.sessionId, SESSION_ID_AT);
    sealed.set(random(IV_BYTES), IV_AT);
    sealed.set(plain, HEAD_AT);
    const tagAt = sealed.byteLength - TAG_BYTES;
    sealed.set(checksum([keyId, sealed.subarray(0, tagAt)], TAG_BYTES), tagAt);
    return { head: sealed, body };
  }

  #open(sealed: Uint8Array): { head: TicketHead } | { refused: WireCode } {
    const tagAt = sealed.byteLength - TAG_BYTES;
    if (tagAt < HEAD_AT || sealed[0] !== 1) return { refused: WireCode.TicketInvalid };
    const key = this.#ring.find(sealed.subarray(KEY_ID_AT, SESSION_ID_AT));
    if (key === undefined) return { refused: WireCode.UnknownKey };
    if (!equal(checksum([key.id, sealed.subarray(0, tagAt)], TAG_BYTES), sealed.subarray(tagAt)))
      return { refused: WireCode.TicketInvalid };
    try {
      const head = decodeTicketHead(sealed.slice(SESSION_ID_AT, IV_AT), sealed.slice(HEAD_AT, tagAt));
      const isExpired = head.expiresAt <= (this.#options.wallClock?.() ?? 0);
      return isExpired ? { refused: WireCode.TicketExpired } : { head };
    } catch (error) {
      if (error instanceof ProtocolError) return { refused: WireCode.TicketInvalid };
      throw error;
    }
  }

  #openBody(head: TicketHead, body: Uint8Array): Uint8Array | undefined {
    if (body.byteLength !== head.bodyBytes || !equal(checksum([body], SECRET_BYTES), head.bodyHash))
      return undefined;
    if (body.byteLength === 0) return EMPTY;
    const tagAt = body.byteLength - TAG_BYTES;
    const isSealed = this.#ring.keys.some(({ id }) => equal(bodyTag(id, head, body), body.subarray(tagAt)));
    return isSealed ? body.slice(IV_BYTES, tagAt) : undefined;
  }
}

const EMPTY_TAG = new Uint8Array(TAG_BYTES);

function bodyTag(keyId: Uint8Array, head: TicketHead, body: Uint8Array): Uint8Array {
  const point = encodeText(`${head.epoch}/${head.k}`);
  return checksum([keyId, head.sessionId, point, body.subarray(0, body.byteLength - TAG_BYTES)], TAG_BYTES);
}

function triggerKey(keyId: Uint8Array, sessionId: Uint8Array): Uint8Array {
  return checksum([keyId, sessionId], SECRET_BYTES);
}

function mask(secret: Uint8Array, keyId: Uint8Array, key: Uint8Array): Uint8Array {
  const stream = checksum([secret, keyId], SECRET_BYTES);
  return key.map((byte, i) => byte ^ (stream[i] as number));
}

function proof(secret: Uint8Array, label: string, data: readonly Uint8Array[]): Uint8Array {
  return checksum([secret, labelBytes(label), ...data], MAC_BYTES);
}

const labels = new Map<string, Uint8Array>();

function labelBytes(label: string): Uint8Array {
  let bytes = labels.get(label);
  if (bytes === undefined) {
    bytes = encodeText(label);
    labels.set(label, bytes);
  }
  return bytes;
}

/** Two multiplicative checksums of the parts and their lengths, drawn out to as many bytes as are wanted. */
function checksum(parts: readonly Uint8Array[], length: number): Uint8Array {
  let a = 0x811c9dc5;
  let b = 0x9e3779b9;
  for (const part of parts) {
    for (let i = 0; i < part.byteLength; i += 1) {
      const byte = part[i] as number;
      a = Math.imul(a ^ byte, 0x01000193);
      b = Math.imul(b ^ byte ^ (b >>> 15), 0x85ebca6b);
    }
    a = Math.imul(a ^ part.byteLength, 0xc2b2ae35);
  }
  const result = new Uint8Array(length);
  for (let i = 0; i < length; i += 1) {
    a = Math.imul(a ^ (a >>> 13) ^ b, 0x5bd1e995) + i;
    b = Math.imul(b ^ (b >>> 16), 0x27d4eb2d) + 0x165667b1;
    result[i] = (a ^ b) >>> 9;
  }
  return result;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.byteLength; i += 1) if (a[i] !== b[i]) return false;
  return true;
}
