/** The keys that make servers a cluster (protocol.md §8.1): whoever has them can read and forge every ticket. */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { argumentError } from '../errors.ts';
import { inspect } from 'node:util';
import { encodeText, toHex } from '../wire/index.ts';
import { hkdf, hkdfExpand, hkdfExtract, sha256 } from './hmac.ts';

export const CLUSTER_KEY_BYTES = 32;
export const KEY_ID_BYTES = 8;

/** Most keys in a ring. Opening a ticket body may try them all. */
export const MAX_KEYS = 8;

const KEY_ID_LABEL = encodeText('godwit/1 key id');
const LINK_INFO = encodeText('godwit/1 peer link');
const TLS_TICKET_INFO = encodeText('godwit/1 tls tickets');
const NO_SALT = new Uint8Array(32);

/** A key as settings give it: 32 bytes, or their text in hexadecimal or base64 (either alphabet). */
export type KeyInput = string | Uint8Array;

/** One cluster key. The secret stays inside: only keys derived from it come out. */
export class ClusterKey {
  readonly #secret: Buffer;
  /** First 8 bytes of SHA-256(`godwit/1 key id` ‖ key): names the key in clear without telling of it. */
  readonly id: Uint8Array;
  /** The id in hexadecimal. */
  readonly idText: string;

  constructor(input: KeyInput) {
    this.#secret = parseKey(input);
    this.id = new Uint8Array(sha256(Buffer.concat([KEY_ID_LABEL, this.#secret])).subarray(0, KEY_ID_BYTES));
    this.idText = toHex(this.id);
  }

  /** HKDF-Extract with the session id as salt: what all keys of a session expand from. */
  extract(sessionId: Uint8Array): Buffer {
    return hkdfExtract(sessionId, this.#secret);
  }

  /** HKDF(key, session id, info), 32 bytes. */
  derive(sessionId: Uint8Array, info: Uint8Array): Buffer {
    return hkdfExpand(this.extract(sessionId), info)[0] as Buffer;
  }

  /** The pre-shared key of peer links. */
  linkKey(): Buffer {
    return hkdf(this.#secret, NO_SALT, LINK_INFO);
  }

  /** 48 bytes for node's `ticketKeys`: with the same ones each server takes up TLS sessions that another began. */
  tlsTicketKeys(): Buffer {
    return Buffer.concat(hkdfExpand(hkdfExtract(NO_SALT, this.#secret), TLS_TICKET_INFO, 2)).subarray(0, 48);
  }

  equals(other: ClusterKey): boolean {
    return timingSafeEqual(this.#secret, other.#secret);
  }

  toJSON(): { id: string } {
    return { id: this.idText };
  }

  [inspect.custom](): string {
    return `ClusterKey ${this.idText}`;
  }
}

/**
 * Cluster keys, newest first: the first one seals, all of them open. To rotate without a gap, `accept` the new key on
 * every server, then `rotate` to it on every server, and `retire` the old one once the last ticket under it expired.
 */
export class KeyRing {
  #keys: readonly ClusterKey[];
  readonly #listeners = new Set<() => void>();

  /** Throws `RangeError` without a key or with more than `MAX_KEYS`, `TypeError` on a malformed one. */
  constructor(keys: KeyInput | readonly KeyInput[]) {
    const isList = (given: unknown): given is readonly KeyInput[] => Array.isArray(given);
    const inputs = typeof keys === 'string' || keys instanceof Uint8Array ? [keys] : keys;
    if (!isList(inputs))
      throw argumentError(TypeError, 'ERR_INVALID_ARG_TYPE', 'keys are a key or a list of keys');
    if (inputs.length === 0)
      throw argumentError(RangeError, 'ERR_OUT_OF_RANGE', 'a key ring needs at least one key');
    this.#keys = [];
    for (const input of inputs) this.accept(input);
  }

  /** A ring with one random key: for a cluster of one process, or tests. */
  static generate(): KeyRing {
    return new KeyRing(randomBytes(CLUSTER_KEY_BYTES));
  }

  /** A random key as text (base64url), for a settings file. */
  static generateKey(): string {
    return randomBytes(CLUSTER_KEY_BYTES).toString('base64url');
  }

  /** What options take: a ring as it is, or keys to make one of. */
  static from(keys: KeyRing | KeyInput | readonly KeyInput[]): KeyRing {
    return keys instanceof KeyRing ? keys : new KeyRing(keys);
  }

  /** The key that seals. */
  get newest(): ClusterKey {
    return this.#keys[0] as ClusterKey;
  }

  /** Newest first. */
  get keys(): readonly ClusterKey[] {
    return this.#keys;
  }

  /** The key with that id (8 bytes); undefined when the ring does not have it. */
  find(id: Uint8Array): ClusterKey | undefined {
    const idText = toHex(id);
    return this.#keys.find((key) => key.idText === idText);
  }

  /**
   * Opens with this key too, but goes on sealing with the newest. Returns the key's id, in hexadecimal.
   *
   * Throws `RangeError` beyond 8 keys, `TypeError` on a malformed one.
   */
  accept(input: KeyInput): string {
    return this.#insert(new ClusterKey(input), this.#keys.length);
  }

  /** Seals with this key from now on; the others still open. Returns the key's id. Throws as `accept` does. */
  rotate(input: KeyInput): string {
    const key = new ClusterKey(input);
    this.#keys = this.#keys.filter((known) => !known.equals(key));
    return this.#insert(key, 0);
  }

  /**
   * Forgets the key with that id (hexadecimal): what it sealed does not open any more, and links between servers that were
   * made with it end. True if the key was known. Throws `RangeError` for the newest, which can not be retired.
   */
  retire(id: string): boolean {
    if (id === this.newest.idText)
      throw argumentError(RangeError, 'ERR_OUT_OF_RANGE', `key ${id} is the one that seals: rotate first`);
    const left = this.#keys.filter((key) => key.idText !== id);
    if (left.length === this.#keys.length) return false;
    this.#keys = left;
    this.#changed();
    return true;
  }

  /**
   * All keys at once, newest first: the first one seals from now on, and what is not among them is retired. For a ring
   * that is kept somewhere else. Throws as the constructor does, and then changes nothing.
   */
  replace(keys: readonly KeyInput[]): void {
    const replaced = new KeyRing(keys).keys;
    const isSame =
      replaced.length === this.#keys.length &&
      replaced.every((key, index) => key.equals(this.#keys[index] as ClusterKey));
    if (isSame) return;
    this.#keys = [...replaced];
    this.#changed();
  }

  /** Calls `listener` after each change, so that tickets are sealed again; returns what ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Ids only: a ring that gets into a log tells no key. */
  toJSON(): { keys: { id: string }[] } {
    return { keys: this.#keys.map((key) => key.toJSON()) };
  }

  [inspect.custom](): string {
    return `KeyRing [${this.#keys.map((key) => key.idText).join(', ')}]`;
  }

  #insert(key: ClusterKey, at: number): string {
    if (this.#keys.some((known) => known.equals(key))) return key.idText;
    if (this.#keys.length >= MAX_KEYS)
      throw argumentError(RangeError, 'ERR_OUT_OF_RANGE', `a key ring holds at most ${MAX_KEYS} keys`);
    this.#keys = this.#keys.toSpliced(at, 0, key);
    this.#changed();
    return key.idText;
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** The error never quotes the input: a mistyped key is still most of a key. */
function parseKey(input: KeyInput): Buffer {
  let bytes: Buffer | undefined;
  if (typeof input !== 'string') {
    // A copy, since the caller may wipe or reuse its buffer.
    if (input instanceof Uint8Array) bytes = Buffer.from(input);
  } else if (/^[0-9a-fA-F]{64}$/.test(input.trim())) {
    bytes = Buffer.from(input.trim(), 'hex');
  } else if (/^[A-Za-z0-9+/_-]{43}=?$/.test(input.trim())) {
    bytes = Buffer.from(input.trim(), 'base64');
  }
  if (bytes?.byteLength !== CLUSTER_KEY_BYTES) {
    throw argumentError(
      TypeError,
      'ERR_INVALID_ARG_VALUE',
      `a cluster key is ${CLUSTER_KEY_BYTES} bytes: a Uint8Array, 64 hexadecimal digits or 43 characters of base64`,
    );
  }
  return bytes;
}
