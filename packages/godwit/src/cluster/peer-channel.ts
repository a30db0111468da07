/**
 * The secure channel of a peer link (protocol.md §9.1), without I/O: bytes in, frames' bytes out, and the other way.
 *
 *   initiator                                   responder
 *   preface, HELLO (key id; sealed: self, to) ->            hello
 *                                             <- REPLY      (sealed: self)
 *   FINISH (an empty record), records         ->            finish, then open
 *
 * HELLO may be a replay, so a responder believes nothing before FINISH. Anything wrong is final.
 */
import {
  PREFACE_BYTES,
  ProtocolError,
  Role,
  WireCode,
  concatBytes,
  decodePreface,
  decodeStruct,
  encodePreface,
  encodeStruct,
  type schema,
  serverFields,
  type ServerAddress,
} from '../wire/index.ts';
import type { KeyPair } from '../crypto/key-agreement.ts';
import { KEY_ID_BYTES, type ClusterKey, type KeyRing } from '../crypto/key-ring.ts';
import { NOISE_TAG_BYTES, NoiseHandshake, type NoiseKeys } from '../crypto/noise.ts';

const LENGTH_BYTES = 2;

/** Longest HELLO or REPLY behind its length, in bytes. */
export const MAX_HANDSHAKE_BYTES = 512;

/** Longest sealed record behind its length, in bytes: what the length can say. */
export const MAX_RECORD_BYTES = 0xffff;

/** Most plaintext in one record, in bytes. */
export const MAX_RECORD_PLAINTEXT_BYTES = MAX_RECORD_BYTES - NOISE_TAG_BYTES;

const helloFields = { ...serverFields, to: serverFields.name } satisfies schema.Fields;
const NOTHING = new Uint8Array(0);

type Phase = 'preface' | 'hello' | 'reply' | 'finish' | 'open' | 'ended' | 'failed';

export interface PeerChannelOptions {
  readonly ring: KeyRing;
  /** What this side says of itself. */
  readonly self: ServerAddress;
  /** Tests fix it. */
  readonly ephemeral?: KeyPair | undefined;
  /** Records under one key; both sides must agree on it. */
  readonly rekeyMessages?: number | undefined;
}

export class PeerChannel {
  readonly #options: PeerChannelOptions;
  /** Whom an initiator wants to talk to. */
  readonly #expected: string | undefined;
  #phase: Phase;
  #handshake: NoiseHandshake | undefined;
  #keys: NoiseKeys | undefined;
  #peer: ServerAddress | undefined;
  /** The cluster key of the handshake, from HELLO on. */
  #clusterKey: ClusterKey | undefined;
  #prologue: Uint8Array = NOTHING;
  readonly #output: Uint8Array[] = [];
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Bytes without which nothing can be done. */
  #needed: number;

  private constructor(options: PeerChannelOptions, phase: Phase, expected?: string) {
    this.#options = options;
    this.#phase = phase;
    this.#expected = expected;
    this.#needed = phase === 'preface' ? PREFACE_BYTES : LENGTH_BYTES;
  }

  /** The dialling side; `expected` is the name of the peer that must answer. */
  static initiate(options: PeerChannelOptions, expected: string): PeerChannel {
    const channel = new PeerChannel(options, 'reply', expected);
    const key = options.ring.newest;
    const preface = encodePreface(Role.Peer);
    channel.#begin(key, preface, true);
    const payload = encodeStruct(helloFields, { ...options.self, to: expected });
    const message = (channel.#handshake as NoiseHandshake).write(payload);
    channel.#output.push(preface, ...lengthPrefixed([key.id, message]));
    return channel;
  }

  /** The accepting side; it takes everything that came, the preface included. */
  static respond(options: PeerChannelOptions): PeerChannel {
    return new PeerChannel(options, 'preface');
  }

  /** Both sides have proved the cluster's key. */
  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  /** The peer said that it will send nothing more, and that nothing was lost. */
  get isEnded(): boolean {
    return this.#phase === 'ended';
  }

  /** What the peer says of itself, once it has proved the cluster's key. */
  get peer(): ServerAddress | undefined {
    return this.#phase === 'open' || this.#phase === 'ended' ? this.#peer : undefined;
  }

  /** The ring no longer has the key of the handshake: whoever is at the other end has proved nothing by it. */
  get isRevoked(): boolean {
    const key = this.#clusterKey;
    return key !== undefined && this.#options.ring.find(key.id) === undefined;
  }

  /** Bytes of the handshake that are to be written. */
  takeOutput(): Uint8Array[] {
    return this.#output.splice(0);
  }

  /** Seals parts of at most `MAX_RECORD_PLAINTEXT_BYTES` together into one record. Only when open. */
  seal(parts: readonly Uint8Array[]): Uint8Array[] {
    if (this.#keys === undefined || this.#phase !== 'open') throw new Error('the peer channel is not open');
    if (parts.length === 0) throw new Error('an empty record would end the channel');
    return this.#sealRecord(parts);
  }

  /** A record that tells the peer that nothing follows. */
  sealEnd(): Uint8Array[] {
    return this.#sealRecord([]);
  }

  /** Takes bytes, answers the plaintext of whole records. A `ProtocolError` is final. */
  receive(chunk: Uint8Array): Uint8Array[] {
    if (this.#phase === 'failed') throw new Error('the peer channel has failed');
    this.#chunks.push(chunk);
    this.#bytes += chunk.byteLength;
    const plaintexts: Uint8Array[] = [];
    if (this.#bytes < this.#needed) return plaintexts;
    try {
      const all = this.#chunks.length === 1 ? chunk : concatBytes(this.#chunks);
      const rest = all.subarray(this.#takeAll(all, plaintexts));
      this.#chunks = rest.byteLength === 0 ? [] : [rest];
      this.#bytes = rest.byteLength;
      return plaintexts;
    } catch (error) {
      this.#phase = 'failed';
      this.#chunks = [];
      throw error;
    }
  }

  /** Works on everything that is whole; answers how much that was. */
  #takeAll(all: Uint8Array, plaintexts: Uint8Array[]): number {
    let at = 0;
    for (;;) {
      if (this.#phase === 'preface') {
        this.#needed = PREFACE_BYTES;
        if (all.byteLength - at < PREFACE_BYTES) return at;
        this.#takePreface(all.subarray(at, at + PREFACE_BYTES));
        at += PREFACE_BYTES;
      }
      this.#needed = LENGTH_BYTES;
      if (all.byteLength - at < LENGTH_BYTES) return at;
      const length = ((all[at] as number) << 8) | (all[at + 1] as number);
      this.#checkLength(length);
      this.#needed = LENGTH_BYTES + length;
      if (all.byteLength - at < this.#needed) return at;
      const plaintext = this.#takeMessage(all.subarray(at + LENGTH_BYTES, at + this.#needed));
      if (plaintext !== undefined) plaintexts.push(plaintext);
      at += this.#needed;
    }
  }

  /** Before anything of that length is waited for. */
  #checkLength(length: number): void {
    const max =
      this.#phase === 'open'
        ? MAX_RECORD_BYTES
        : this.#phase === 'finish'
          ? NOISE_TAG_BYTES
          : MAX_HANDSHAKE_BYTES;
    if (length < NOISE_TAG_BYTES || length > max) {
      throw new ProtocolError(
        WireCode.Protocol,
        `a message of ${length} bytes on a peer link in phase ${this.#phase}`,
      );
    }
  }

  #takePreface(bytes: Uint8Array): void {
    const preface = decodePreface(bytes);
    if (preface.role !== Role.Peer) throw new ProtocolError(WireCode.Protocol, 'a client on a peer link');
    this.#prologue = Uint8Array.from(bytes);
    this.#phase = 'hello';
  }

  #takeMessage(message: Uint8Array): Uint8Array | undefined {
    switch (this.#phase) {
      case 'hello':
        this.#takeHello(message);
        return undefined;
      case 'reply':
        this.#takeReply(message);
        return undefined;
      case 'finish':
        this.#openRecord(message);
        this.#phase = 'open';
        return undefined;
      case 'open': {
        const plaintext = this.#openRecord(message);
        if (plaintext.byteLength > 0) return plaintext;
        this.#phase = 'ended';
        return undefined;
      }
      default:
        throw new ProtocolError(WireCode.Protocol, 'bytes behind the end of a peer link');
    }
  }

  #takeHello(message: Uint8Array): void {
    const keyId = message.subarray(0, KEY_ID_BYTES);
    const key = this.#options.ring.find(keyId);
    if (key === undefined)
      throw new ProtocolError(WireCode.UnknownKey, 'a peer uses a key that is not in the ring');
    this.#begin(key, this.#prologue, false);
    const handshake = this.#handshake as NoiseHandshake;
    const payload = handshake.read(message.subarray(KEY_ID_BYTES));
    if (payload === undefined)
      throw new ProtocolError(WireCode.Unauthenticated, 'a peer does not have the cluster key');
    const { to, ...peer } = decodeStruct(helloFields, payload);
    const { self } = this.#options;
    if (to !== self.name)
      throw new ProtocolError(WireCode.Denied, `peer ${peer.name} looks for ${to}, this is ${self.name}`);
    this.#setPeer(peer);
    this.#output.push(...lengthPrefixed([handshake.write(encodeStruct(serverFields, self))]));
    this.#keys = handshake.split();
    this.#phase = 'finish';
  }

  #takeReply(message: Uint8Array): void {
    const handshake = this.#handshake as NoiseHandshake;
    const payload = handshake.read(message);
    if (payload === undefined)
      throw new ProtocolError(WireCode.Unauthenticated, 'a peer does not have the cluster key');
    this.#setPeer(decodeStruct(serverFields, payload));
    this.#keys = handshake.split();
    this.#output.push(...this.#sealRecord([]));
    this.#phase = 'open';
  }

  #setPeer(peer: ServerAddress): void {
    if (this.#expected !== undefined && peer.name !== this.#expected) {
      throw new ProtocolError(WireCode.Denied, `peer ${peer.name} answered for ${this.#expected}`);
    }
    if (peer.name === this.#options.self.name) {
      throw new ProtocolError(WireCode.Denied, `another server has the name of this one, ${peer.name}`);
    }
    this.#peer = peer;
    this.#handshake = undefined;
  }

  #begin(key: ClusterKey, preface: Uint8Array, isInitiator: boolean): void {
    const { ephemeral, rekeyMessages } = this.#options;
    this.#clusterKey = key;
    const prologue = concatBytes([preface, key.id]);
    this.#handshake = new NoiseHandshake({
      isInitiator,
      prologue,
      preSharedKey: key.linkKey(),
      ephemeral,
      rekeyMessages,
    });
  }

  #sealRecord(parts: readonly Uint8Array[]): Uint8Array[] {
    return lengthPrefixed((this.#keys as NoiseKeys).send.seal(NOTHING, parts));
  }

  #openRecord(record: Uint8Array): Uint8Array {
    const plaintext = (this.#keys as NoiseKeys).receive.open(NOTHING, record);
    if (plaintext === undefined)
      throw new ProtocolError(WireCode.Unauthenticated, 'a record of a peer link was tampered with');
    return plaintext;
  }
}

function lengthPrefixed(parts: readonly Uint8Array[]): Uint8Array[] {
  let length = 0;
  for (const part of parts) length += part.byteLength;
  if (length > MAX_RECORD_BYTES) throw new RangeError(`${length} bytes in one record`);
  return [Uint8Array.of(length >>> 8, length & 0xff), ...parts];
}
