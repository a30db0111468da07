/**
 * Tickets under the cluster key (protocol.md §8.4). A sealed head is
 * `version 1 | key id 8 | session id 16 | iv 12 | ciphertext | tag 16`, of which all before the iv is the associated
 * data; a sealed body is `iv 12 | ciphertext | tag 16`, bound to its session, epoch and k.
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto';
import {
  ByteWriter,
  MAX_TICKET_HEAD_BYTES,
  ProtocolError,
  SESSION_ID_BYTES,
  WireCode,
  encodeText,
  toHex,
} from '../wire/index.ts';
import { decodeTicketHead, encodeTicketHead, roomForState, type TicketHead } from '../session/ticket.ts';
import { sha256 } from './hmac.ts';
import { KEY_ID_BYTES, type ClusterKey, type KeyRing } from './key-ring.ts';
import { random } from './random.ts';

/** Layout of a sealed head. */
export const TICKET_VERSION = 1;
const KEY_ID_AT = 1;
const SESSION_ID_AT = KEY_ID_AT + KEY_ID_BYTES;
const IV_AT = SESSION_ID_AT + SESSION_ID_BYTES;
export const IV_BYTES = 12;
export const TAG_BYTES = 16;
const CIPHERTEXT_AT = IV_AT + IV_BYTES;

const TICKET_INFO = encodeText('godwit/1 ticket');
const BODY_LABEL = encodeText('godwit/1 ticket body');

const EMPTY = new Uint8Array(0);
const HASH_OF_EMPTY = new Uint8Array(sha256(EMPTY));

export interface SealedTicket {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

export type OpenedHead = { readonly head: TicketHead } | { readonly refused: WireCode };

export interface TicketSealingOptions {
  readonly ring: KeyRing;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** Fresh IVs; tests fix them. */
  readonly random?: (bytes: number) => Uint8Array;
}

/**
 * Ticket keys remembered of either kind, up to twice as many: deriving one takes longer than sealing with it. Memory cost: about 500
 * bytes each.
 */
const MAX_TICKET_KEYS = 256;

export class TicketSealing {
  readonly #ring: KeyRing;
  /** Of sessions that live here. */
  readonly #sealKeys = new TicketKeys();
  /** Of tickets that opened: whoever asks may be anybody, and must not push a live session's key out. */
  readonly #openKeys = new TicketKeys();
  readonly #wallClock: () => number;
  readonly #random: (bytes: number) => Uint8Array;

  constructor(options: TicketSealingOptions) {
    this.#ring = options.ring;
    this.#wallClock = options.wallClock;
    this.#random = options.random ?? random;
  }

  /**
   * Seals both under the ring's newest key; fills `bodyHash`, `bodyBytes` and `state` of the head in. A short state goes into the
   * head: two ciphers take nearly twice as long as one, and applications that export often have short ones.
   */
  seal(head: TicketHead, state: Uint8Array): SealedTicket {
    const key = this.#ring.newest;
    const name = nameOf(key, head.sessionId);
    const ticketKey =
      this.#sealKeys.get(name) ??
      this.#sealKeys.add(name, this.#openKeys.get(name) ?? ticketKeyOf(key, head.sessionId));
    const isShort = state.byteLength <= roomForState(head);
    const body = isShort ? EMPTY : sealBytes(ticketKey, this.#random(IV_BYTES), bodyData(head), state);
    const filled: TicketHead = {
      ...head,
      bodyHash: isShort ? HASH_OF_EMPTY : sha256(body),
      bodyBytes: body.byteLength,
      state: isShort ? state : EMPTY,
    };
    const clear = new Uint8Array(IV_AT);
    clear[0] = TICKET_VERSION;
    clear.set(key.id, KEY_ID_AT);
    clear.set(head.sessionId, SESSION_ID_AT);
    const plaintext = encodeTicketHead(filled);
    return { head: sealBytes(ticketKey, this.#random(IV_BYTES), clear, plaintext, clear), body };
  }

  /** Refuses what no key of the ring sealed, what was changed since, and what is over its time. */
  open(sealed: Uint8Array): OpenedHead {
    if (sealed.byteLength < CIPHERTEXT_AT + TAG_BYTES || sealed.byteLength > MAX_TICKET_HEAD_BYTES) {
      return { refused: WireCode.TicketInvalid };
    }
    if (sealed[0] !== TICKET_VERSION) return { refused: WireCode.TicketInvalid };
    const clear = sealed.subarray(0, IV_AT);
    const key = this.#ring.find(clear.subarray(KEY_ID_AT, SESSION_ID_AT));
    if (key === undefined) return { refused: WireCode.UnknownKey };
    const sessionId = new Uint8Array(clear.subarray(SESSION_ID_AT, IV_AT));
    // Always derived: how long a forgery takes to refuse must not tell who lives here.
    const ticketKey = ticketKeyOf(key, sessionId);
    const plaintext = openBytes(ticketKey, clear, sealed.subarray(IV_AT));
    if (plaintext === undefined) return { refused: WireCode.TicketInvalid };
    // Its body is opened with it, and the session's next ticket sealed.
    this.#openKeys.add(nameOf(key, sessionId), ticketKey);
    let head: TicketHead;
    try {
      head = decodeTicketHead(sessionId, plaintext);
    } catch (error) {
      if (error instanceof ProtocolError) return { refused: WireCode.TicketInvalid };
      throw error;
    }
    return head.expiresAt <= this.#wallClock() ? { refused: WireCode.TicketExpired } : { head };
  }

  /** The state behind a head that was opened; undefined when it is not the body that the head names. */
  openBody(head: TicketHead, sealed: Uint8Array): Uint8Array | undefined {
    if (sealed.byteLength !== head.bodyBytes) return undefined;
    if (!timingSafeEqual(sha256(sealed), head.bodyHash)) return undefined;
    if (sealed.byteLength === 0) return head.state;
    if (sealed.byteLength < IV_BYTES + TAG_BYTES) return undefined;
    const data = bodyData(head);
    // The head does not say which key sealed it, and there are few.
    for (const key of this.#ring.keys) {
      const opened = this.#openKeys.get(nameOf(key, head.sessionId));
      const state = openBytes(opened ?? ticketKeyOf(key, head.sessionId), data, sealed);
      if (state !== undefined) return state;
    }
    return undefined;
  }
}

/** Keys used lately, and those before. A map whose oldest entries are deleted one by one gets slow. */
class TicketKeys {
  #latest = new Map<string, KeyObject>();
  #former = new Map<string, KeyObject>();

  get(name: string): KeyObject | undefined {
    const key = this.#latest.get(name);
    if (key !== undefined) return key;
    const former = this.#former.get(name);
    return former === undefined ? undefined : this.add(name, former);
  }

  add(name: string, key: KeyObject): KeyObject {
    if (this.#latest.size >= MAX_TICKET_KEYS) {
      this.#former = this.#latest;
      this.#latest = new Map();
    }
    this.#latest.set(name, key);
    return key;
  }
}

function nameOf(key: ClusterKey, sessionId: Uint8Array): string {
  return `${key.idText} ${toHex(sessionId)}`;
}

function ticketKeyOf(key: ClusterKey, sessionId: Uint8Array): KeyObject {
  // A key object of our own making: handing raw bytes to createCipheriv takes 20 µs longer (Node 24).
  return createSecretKey(key.derive(sessionId, TICKET_INFO));
}

/** `iv | ciphertext | tag`, behind what goes before it in clear. */
function sealBytes(
  key: KeyObject,
  iv: Uint8Array,
  data: Uint8Array,
  plaintext: Uint8Array,
  clear: Uint8Array = EMPTY,
): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', key, iv);
  cipher.setAAD(data);
  const ciphertext = cipher.update(plaintext);
  // GCM keeps nothing back, so final() only makes the tag.
  cipher.final();
  return Buffer.concat([clear, iv, ciphertext, cipher.getAuthTag()]);
}

function openBytes(key: KeyObject, data: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  const iv = sealed.subarray(0, IV_BYTES);
  const tagAt = sealed.byteLength - TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES });
  decipher.setAAD(data);
  decipher.setAuthTag(sealed.subarray(tagAt));
  const plaintext = decipher.update(sealed.subarray(IV_BYTES, tagAt));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
}

/** Associated data of a body: its label, session id, epoch and k. */
function bodyData(head: TicketHead): Uint8Array {
  const writer = new ByteWriter(BODY_LABEL.byteLength + SESSION_ID_BYTES + 12);
  writer.bytes(BODY_LABEL);
  writer.bytes(head.sessionId);
  writer.u48(head.epoch);
  writer.u48(head.k);
  return writer.finish();
}
