/**
 * Sessions that are no longer here, and why: moved, or ended for good (protocol.md §10.8). A server keeps them for hours, so they
 * lie side by side in one piece of memory: as objects they would be copied by V8's collector, and looked at again and again.
 */
import { assert } from './state-table.ts';

export interface Tombstone {
  readonly kind: 'moved' | 'ended';
  /** The session's: one of the same id with another secret is another session. */
  readonly secret: Uint8Array;
  readonly epoch: number;
  readonly until: number;
  /** Its client had answered: it knows what it opened, and opens it no more. */
  readonly established: boolean;
}

/** What a stone takes, in bytes: id, secret, epoch, time, flags. */
const ID_AT = 0;
const ID_BYTES = 16;
const SECRET_AT = 16;
const SECRET_BYTES = 32;
const EPOCH_AT = 48;
const UNTIL_AT = 56;
const FLAGS_AT = 64;
const STONE_BYTES = 72;

const TAKEN = 1;
const ENDED = 2;
const ESTABLISHED = 4;

/** Room for so many to begin with; twice as many each time that is used up. */
const FIRST_ROOM = 64;
/** The end of a chain; places count from 1. */
const NONE = 0;

export class Tombstones {
  readonly #max: number;
  readonly #seed: number;
  /** The stones, in the order in which they were set, behind the last of which the first is overwritten. */
  #stones: DataView;
  #room: number;
  /** The next one is set there. */
  #nextAt = 0;
  #size = 0;
  /** Chains of those whose ids have the same hash: the first of each, and who follows on whom. */
  #heads: Int32Array;
  #followers: Int32Array;

  /** At most `max`: then each new one takes the place of the oldest. Ids are chosen by clients, who must not know the `seed`. */
  constructor(max: number, seed = 0) {
    this.#max = Math.max(1, max);
    this.#seed = seed;
    this.#room = Math.min(FIRST_ROOM, this.#max);
    this.#stones = new DataView(new ArrayBuffer(this.#room * STONE_BYTES));
    this.#heads = new Int32Array(this.#room);
    this.#followers = new Int32Array(this.#room);
  }

  get size(): number {
    return this.#size;
  }

  /** `id` in hexadecimal digits. */
  set(id: string, { kind, secret, epoch, until, established }: Tombstone): void {
    assert(
      secret.byteLength === SECRET_BYTES && id.length === ID_BYTES * 2,
      'an id of 16 bytes, a secret of 32',
    );
    this.delete(id);
    if (this.#nextAt === this.#room) {
      if (this.#room < this.#max) this.#grow();
      else this.#nextAt = 0;
    }
    const at = this.#nextAt;
    this.#nextAt += 1;
    if (this.#isTaken(at)) this.#remove(at);
    const offset = at * STONE_BYTES;
    for (let word = 0; word < ID_BYTES; word += 4)
      this.#stones.setUint32(offset + ID_AT + word, wordOf(id, word));
    this.#bytes(offset + SECRET_AT, SECRET_BYTES).set(secret);
    this.#stones.setFloat64(offset + EPOCH_AT, epoch);
    this.#stones.setFloat64(offset + UNTIL_AT, until);
    const flags = TAKEN | (kind === 'ended' ? ENDED : 0) | (established ? ESTABLISHED : 0);
    this.#stones.setUint8(offset + FLAGS_AT, flags);
    this.#chain(at);
    this.#size += 1;
  }

  get(id: string, now: number): Tombstone | undefined {
    const at = this.#find(id);
    if (at === undefined) return undefined;
    const offset = at * STONE_BYTES;
    const until = this.#stones.getFloat64(offset + UNTIL_AT);
    if (until <= now) {
      this.#remove(at);
      return undefined;
    }
    const flags = this.#stones.getUint8(offset + FLAGS_AT);
    return {
      kind: (flags & ENDED) === 0 ? 'moved' : 'ended',
      secret: this.#bytes(offset + SECRET_AT, SECRET_BYTES).slice(),
      epoch: this.#stones.getFloat64(offset + EPOCH_AT),
      until,
      established: (flags & ESTABLISHED) !== 0,
    };
  }

  delete(id: string): void {
    const at = this.#find(id);
    if (at !== undefined) this.#remove(at);
  }

  #bytes(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#stones.buffer, offset, length);
  }

  #isTaken(at: number): boolean {
    return (this.#stones.getUint8(at * STONE_BYTES + FLAGS_AT) & TAKEN) !== 0;
  }

  #find(id: string): number | undefined {
    if (this.#size === 0) return undefined;
    let hash = this.#seed;
    for (let word = 0; word < ID_BYTES; word += 4) hash = mixed(hash, wordOf(id, word));
    let place = this.#heads[bucketOf(hash, this.#room)] as number;
    for (; place !== NONE; place = this.#followers[place - 1] as number)
      if (this.#hasId((place - 1) * STONE_BYTES, id)) return place - 1;
    return undefined;
  }

  #hasId(offset: number, id: string): boolean {
    for (let word = 0; word < ID_BYTES; word += 4)
      if (this.#stones.getUint32(offset + ID_AT + word) !== wordOf(id, word)) return false;
    return true;
  }

  #bucket(at: number): number {
    let hash = this.#seed;
    for (let word = 0; word < ID_BYTES; word += 4)
      hash = mixed(hash, this.#stones.getUint32(at * STONE_BYTES + ID_AT + word));
    return bucketOf(hash, this.#room);
  }

  #chain(at: number): void {
    const bucket = this.#bucket(at);
    this.#followers[at] = this.#heads[bucket] as number;
    this.#heads[bucket] = at + 1;
  }

  #remove(at: number): void {
    const bucket = this.#bucket(at);
    const follower = this.#followers[at] as number;
    if (this.#heads[bucket] === at + 1) this.#heads[bucket] = follower;
    else {
      let before = (this.#heads[bucket] as number) - 1;
      while (this.#followers[before] !== at + 1) before = (this.#followers[before] as number) - 1;
      this.#followers[before] = follower;
    }
    // Its secret is nobody's any more.
    this.#bytes(at * STONE_BYTES, STONE_BYTES).fill(0);
    this.#size -= 1;
  }

  #grow(): void {
    const former = this.#bytes(0, this.#room * STONE_BYTES);
    this.#room = Math.min(this.#room * 2, this.#max);
    this.#stones = new DataView(new ArrayBuffer(this.#room * STONE_BYTES));
    this.#bytes(0, former.byteLength).set(former);
    this.#heads = new Int32Array(this.#room);
    this.#followers = new Int32Array(this.#room);
    for (let at = 0; at < this.#nextAt; at += 1) if (this.#isTaken(at)) this.#chain(at);
  }
}

/** Four bytes of an id that is written in hexadecimal digits, from the `byte`th on. */
function wordOf(id: string, byte: number): number {
  let word = 0;
  for (let at = byte * 2; at < byte * 2 + 8; at += 1) {
    const code = id.charCodeAt(at);
    word = (word << 4) | (code < 0x3a ? code - 0x30 : code - 0x57);
  }
  return word >>> 0;
}

function mixed(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x9e3779b1);
  return product ^ (product >>> 15);
}

function bucketOf(hash: number, buckets: number): number {
  const product = Math.imul(hash, 0x85ebca6b);
  return ((product ^ (product >>> 13)) >>> 0) % buckets;
}
