/**
 * `Noise_NNpsk0_25519_AESGCM_SHA256` of the Noise protocol framework, revision 34: two messages, after which both
 * sides know that the other has the pre-shared key, and have keys that no later theft of it opens.
 * Written from the specification; section numbers are its. Tested with the vectors of another implementation.
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { SHARE_BYTES, agree, createKeyPair, type KeyPair } from './key-agreement.ts';
import { hkdfExpand, hkdfExtract, sha256 } from './hmac.ts';

/** Exactly as long as a hash, so it is the first handshake hash as it stands (§5.2). */
const PROTOCOL_NAME = Buffer.from('Noise_NNpsk0_25519_AESGCM_SHA256');
const NONCE_BYTES = 12;
export const NOISE_TAG_BYTES = 16;
const EMPTY = Buffer.alloc(0);

/** When to replace a key, in messages under it: well inside what AES-GCM bears at 64 KiB a message (RFC 8446 §5.5). */
export const REKEY_MESSAGES = 2 ** 20;

/** A key and its counter (§5.1). The counter is the nonce, so nothing opens twice or out of order. */
export class CipherState {
  #key: KeyObject;
  #counter = 0;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  readonly #rekeyMessages: number;

  constructor(key: Uint8Array, rekeyMessages = REKEY_MESSAGES) {
    this.#key = createSecretKey(key);
    this.#rekeyMessages = rekeyMessages;
  }

  /** Ciphertext, in as many parts as the plaintext has, and the tag as the last part. */
  seal(data: Uint8Array, parts: readonly Uint8Array[]): Uint8Array[] {
    const cipher = createCipheriv('aes-256-gcm', this.#key, this.#nextNonce());
    cipher.setAAD(data);
    const sealed: Uint8Array[] = parts.map((part) => cipher.update(part));
    cipher.final();
    sealed.push(cipher.getAuthTag());
    this.#advance();
    return sealed;
  }

  /** Undefined when it was not sealed as the next message; the counter stays then. */
  open(data: Uint8Array, sealed: Uint8Array): Buffer | undefined {
    const tagAt = sealed.byteLength - NOISE_TAG_BYTES;
    if (tagAt < 0) return undefined;
    const nonce = this.#nextNonce();
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: NOISE_TAG_BYTES });
    decipher.setAAD(data);
    decipher.setAuthTag(sealed.subarray(tagAt));
    const plaintext = decipher.update(sealed.subarray(0, tagAt));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    this.#advance();
    return plaintext;
  }

  /** Four zero bytes and the counter, big-endian (§12.3). */
  #nextNonce(): Buffer {
    this.#nonce.writeUInt32BE(Math.floor(this.#counter / 2 ** 32), 4);
    this.#nonce.writeUInt32BE(this.#counter % 2 ** 32, 8);
    return this.#nonce;
  }

  #advance(): void {
    this.#counter += 1;
    if (this.#counter % this.#rekeyMessages !== 0) return;
    // REKEY (§4.2): 32 zeros sealed under the largest nonce. The counter goes on.
    const nonce = Buffer.alloc(NONCE_BYTES, 0xff).fill(0, 0, 4);
    this.#key = createSecretKey(createCipheriv('aes-256-gcm', this.#key, nonce).update(Buffer.alloc(32)));
  }
}

/** Keys of the two directions, as seen from one side. */
export interface NoiseKeys {
  readonly send: CipherState;
  readonly receive: CipherState;
}

export interface NoiseOptions {
  readonly isInitiator: boolean;
  /** What both sides must have seen alike before the handshake. */
  readonly prologue: Uint8Array;
  /** 32 bytes. */
  readonly preSharedKey: Uint8Array;
  /** Tests fix it. */
  readonly ephemeral?: KeyPair | undefined;
  readonly rekeyMessages?: number | undefined;
}

/**
 * The handshake `-> psk, e` `<- e, ee`. The initiator calls `write`, `read`, `split`; the responder `read`, `write`,
 * `split`. What `read` refuses leaves the handshake of no use.
 */
export class NoiseHandshake {
  readonly #isInitiator: boolean;
  readonly #ephemeral: KeyPair;
  readonly #rekeyMessages: number | undefined;
  #hash: Buffer = PROTOCOL_NAME;
  #chainingKey: Buffer = PROTOCOL_NAME;
  #cipher: CipherState | undefined;
  /** Of both ephemeral keys, once the other side's is known. */
  #shared: Uint8Array | undefined;

  constructor(options: NoiseOptions) {
    this.#isInitiator = options.isInitiator;
    this.#ephemeral = options.ephemeral ?? createKeyPair();
    this.#rekeyMessages = options.rekeyMessages;
    this.#mixHash(options.prologue);
    // psk0: MixKeyAndHash before the first message (§9.2).
    this.#chainingKey = hkdfExtract(this.#chainingKey, options.preSharedKey);
    const [chainingKey, hashed, key] = hkdfExpand(this.#chainingKey, EMPTY, 3) as [Buffer, Buffer, Buffer];
    this.#chainingKey = chainingKey;
    this.#mixHash(hashed);
    this.#cipher = new CipherState(key);
  }

  /** Binds other proofs to this very handshake (§11.2). */
  get hash(): Uint8Array {
    return this.#hash;
  }

  /** This side's message around a payload. */
  write(payload: Uint8Array): Uint8Array {
    this.#mixShare(this.#ephemeral.share);
    if (!this.#isInitiator) this.#mixAgreement();
    const sealed = Buffer.concat((this.#cipher as CipherState).seal(this.#hash, [payload]));
    this.#mixHash(sealed);
    return Buffer.concat([this.#ephemeral.share, sealed]);
  }

  /** The payload of the other side's message; undefined when that side does not have the key, or is out of its mind. */
  read(message: Uint8Array): Uint8Array | undefined {
    if (message.byteLength < SHARE_BYTES + NOISE_TAG_BYTES) return undefined;
    const share = Uint8Array.from(message.subarray(0, SHARE_BYTES));
    this.#mixShare(share);
    if (this.#isInitiator) {
      this.#shared = agree(this.#ephemeral.privateKey, share);
      if (this.#shared === undefined) return undefined;
      this.#mixAgreement();
    }
    const sealed = message.subarray(SHARE_BYTES);
    const payload = (this.#cipher as CipherState).open(this.#hash, sealed);
    if (payload === undefined) return undefined;
    this.#mixHash(sealed);
    // Only for whoever has the pre-shared key: an agreement costs more than all before it.
    if (!this.#isInitiator) this.#shared = agree(this.#ephemeral.privateKey, share);
    return this.#shared && new Uint8Array(payload);
  }

  /** The keys of everything that follows (§5.2). */
  split(): NoiseKeys {
    const pseudoRandomKey = hkdfExtract(this.#chainingKey, EMPTY);
    const [first, second] = hkdfExpand(pseudoRandomKey, EMPTY, 2) as [Buffer, Buffer];
    const fromInitiator = new CipherState(first, this.#rekeyMessages);
    const fromResponder = new CipherState(second, this.#rekeyMessages);
    return this.#isInitiator
      ? { send: fromInitiator, receive: fromResponder }
      : { send: fromResponder, receive: fromInitiator };
  }

  #mixHash(bytes: Uint8Array): void {
    this.#hash = sha256(Buffer.concat([this.#hash, bytes]));
  }

  #mixKey(keyMaterial: Uint8Array): void {
    const [chainingKey, key] = hkdfExpand(hkdfExtract(this.#chainingKey, keyMaterial), EMPTY, 2) as [
      Buffer,
      Buffer,
    ];
    this.#chainingKey = chainingKey;
    this.#cipher = new CipherState(key);
  }

  /** With a pre-shared key, shares go into the key as well as into the hash (§9.2). */
  #mixShare(share: Uint8Array): void {
    this.#mixHash(share);
    this.#mixKey(share);
  }

  #mixAgreement(): void {
    if (this.#shared === undefined) throw new Error("the other side's message must be read before");
    this.#mixKey(this.#shared);
  }
}
