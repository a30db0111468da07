/**
 * Sessions that are no longer here, and why: moved, or ended for good (protocol.md §10.8). A server keeps them for hours, so they
 * lie side by side in one piece of memory: as objects they would be copied by V8's collector, and looked at again and again.
 */
import { hashOf } from './id-hash.ts';
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

/** What a stone takes, in bytes: id, secret, epoch, time, hash of the id, flags. */
const ID_AT = 0;
const ID_BYTES = 16;
const SECRET_AT = 16;
const SECRET_BYTES = 32;
const EPOCH_AT = 48;
const UNTIL_AT = 56;
const HASH_AT = 64;
const FLAGS_AT = 68;
const STONE_BYTES = 72;

const ENDED = 1;
const ESTABLISHED = 2;

/** Room for so many to begin with; twice as many each time that is used up. */
const FIRST_ROOM = 64;
/** Nobody; places count from 1. */
const NONE = 0;

/** Stones by their places, and how they lead to each other. */
interface Ground {
  readonly stones: DataView;
  /** The first of all whose ids have the same hash, by that, and for each place who follows; of an empty place, the next one. */
  readonly heads: Int32Array;
  readonly followers: Int32Array;
  /** Who was set before each of them, and who behind it. */
  readonly older: Int32Array;
  readonly newer: Int32Array;
}

export class Tombstones {
  readonly #max: number;
  readonly #seed: number;
  #room: number;
  #ground: Ground;
  /** Places up to there have been used. */
  #used = 0;
  #firstEmpty = NONE;
  #oldest = NONE;
  #newest = NONE;
  #size = 0;

  /** At most `max`, and at least one: then each new one takes the place of the oldest. Ids are chosen by clients, who must not know the `seed`. */
  constructor(max: number, seed = 0) {
    this.#max = Math.max(1, max);
    this.#seed = seed;
    this.#room = Math.min(FIRST_ROOM, this.#max);
    this.#ground = groundFor(this.#room);
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
    const place = this.#takePlace();
    const offset = offsetOf(place);
    const { stones } = this.#ground;
    for (let word = 0; word < ID_BYTES; word += 4) stones.setUint32(offset + ID_AT + word, wordOf(id, word));
    this.#bytes(offset + SECRET_AT, SECRET_BYTES).set(secret);
    stones.setFloat64(offset + EPOCH_AT, epoch);
    stones.setFloat64(offset + UNTIL_AT, until);
    stones.setUint32(offset + HASH_AT, hashOf(id, this.#seed));
    stones.setUint8(offset + FLAGS_AT, (kind === 'ended' ? ENDED : 0) | (established ? ESTABLISHED : 0));
    this.#chain(place);
    this.#ground.older[place] = this.#newest;
    this.#ground.newer[place] = NONE;
    if (this.#newest === NONE) this.#oldest = place;
    else this.#ground.newer[this.#newest] = place;
    this.#newest = place;
    this.#size += 1;
  }

  get(id: string, now: number): Tombstone | undefined {
    const place = this.#find(id);
    if (place === NONE) return undefined;
    const offset = offsetOf(place);
    const { stones } = this.#ground;
    const until = stones.getFloat64(offset + UNTIL_AT);
    if (until <= now) {
      this.#remove(place);
      return undefined;
    }
    const flags = stones.getUint8(offset + FLAGS_AT);
    return {
      kind: (flags & ENDED) === 0 ? 'moved' : 'ended',
      secret: this.#bytes(offset + SECRET_AT, SECRET_BYTES).slice(),
      epoch: stones.getFloat64(offset + EPOCH_AT),
      until,
      established: (flags & ESTABLISHED) !== 0,
    };
  }

  delete(id: string): void {
    const place = this.#find(id);
    if (place !== NONE) this.#remove(place);
  }

  /** An empty one: one that was left, a new one, or that of the oldest. */
  #takePlace(): number {
    if (this.#firstEmpty === NONE && this.#used === this.#room) {
      if (this.#room < this.#max) this.#grow();
      else this.#remove(this.#oldest);
    }
    const place = this.#firstEmpty;
    if (place === NONE) {
      this.#used += 1;
      return this.#used;
    }
    this.#firstEmpty = this.#ground.followers[place] as number;
    return place;
  }

  #bytes(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#ground.stones.buffer, offset, length);
  }

  #find(id: string): number {
    if (this.#size === 0) return NONE;
    const { heads, followers } = this.#ground;
    let place = heads[hashOf(id, this.#seed) % this.#room] as number;
    while (place !== NONE && !this.#hasId(place, id)) place = followers[place] as number;
    return place;
  }

  #hasId(place: number, id: string): boolean {
    const offset = offsetOf(place) + ID_AT;
    for (let word = 0; word < ID_BYTES; word += 4)
      if (this.#ground.stones.getUint32(offset + word) !== wordOf(id, word)) return false;
    return true;
  }

  #bucketOf(place: number): number {
    return this.#ground.stones.getUint32(offsetOf(place) + HASH_AT) % this.#room;
  }

  #chain(place: number): void {
    const { heads, followers } = this.#ground;
    const bucket = this.#bucketOf(place);
    followers[place] = heads[bucket] as number;
    heads[bucket] = place;
  }

  #remove(place: number): void {
    const { heads, followers, older, newer } = this.#ground;
    const bucket = this.#bucketOf(place);
    if (heads[bucket] === place) heads[bucket] = followers[place] as number;
    else {
      let before = heads[bucket] as number;
      while (followers[before] !== place) before = followers[before] as number;
      followers[before] = followers[place] as number;
    }
    const [before, behind] = [older[place] as number, newer[place] as number];
    if (before === NONE) this.#oldest = behind;
    else newer[before] = behind;
    if (behind === NONE) this.#newest = before;
    else older[behind] = before;
    // Its secret is nobody's any more.
    this.#bytes(offsetOf(place), STONE_BYTES).fill(0);
    followers[place] = this.#firstEmpty;
    this.#firstEmpty = place;
    this.#size -= 1;
  }

  /** Every place is taken. */
  #grow(): void {
    const former = this.#ground;
    this.#room = Math.min(this.#room * 2, this.#max);
    this.#ground = groundFor(this.#room);
    this.#bytes(0, former.stones.byteLength).set(new Uint8Array(former.stones.buffer));
    this.#ground.older.set(former.older);
    this.#ground.newer.set(former.newer);
    for (let place = 1; place <= this.#used; place += 1) this.#chain(place);
  }
}

function groundFor(room: number): Ground {
  return {
    stones: new DataView(new ArrayBuffer(room * STONE_BYTES)),
    heads: new Int32Array(room),
    followers: new Int32Array(room + 1),
    older: new Int32Array(room + 1),
    newer: new Int32Array(room + 1),
  };
}

function offsetOf(place: number): number {
  return (place - 1) * STONE_BYTES;
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
