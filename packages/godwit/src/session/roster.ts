/**
 * Who is here at present, where many come and go: the sessions of a server, the channels of a connection.
 *
 * A `Map` does not do for that. As its table fills up with what was deleted, V8 gives it another one, and the old table knows the
 * new one. Once an old table has got into V8's old space it keeps, until the next full collection, the one behind it, and that the
 * next, and each of them what it held: so whatever comes and goes outlives every collection of the young generation, and is copied
 * by two of them. Here nothing that is gone leads to anybody who came later.
 *
 * All of it are objects of classes. V8 learns by the place of a literal whether what is made there lives long, and makes it in the
 * old space from then on, where it keeps all that it knows until the next full collection.
 */
import { hashOf } from './id-hash.ts';

/** What stands in a chain. */
abstract class Link<L> {
  /** @internal The neighbours, in the order in which they came. */
  before: L | undefined;
  /** @internal */
  behind: L | undefined;
}

/** Links in the order in which they came. */
class Chain<L extends Link<L>> {
  #first: L | undefined;
  #last: L | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(link: L): void {
    link.before = this.#last;
    if (this.#last === undefined) this.#first = link;
    else this.#last.behind = link;
    this.#last = link;
    this.#size += 1;
  }

  /** What is taken out leads nowhere. */
  remove(link: L): void {
    const { before, behind } = link;
    if (before === undefined) this.#first = behind;
    else before.behind = behind;
    if (behind === undefined) this.#last = before;
    else behind.before = before;
    link.before = undefined;
    link.behind = undefined;
    this.#size -= 1;
  }

  list(): L[] {
    const links: L[] = [];
    for (let link = this.#first; link !== undefined; link = link.behind) links.push(link);
    return links;
  }
}

/** A place in a crowd, until `leave`. */
export class Place<T extends object> extends Link<Place<T>> {
  #chain: Chain<Place<T>> | undefined;
  #value: T | undefined;

  constructor(chain: Chain<Place<T>>, value: T) {
    super();
    this.#chain = chain;
    this.#value = value;
  }

  /** Who has it; undefined once he has left. */
  get value(): T | undefined {
    return this.#value;
  }

  /** Gives the place up; may be called again. */
  leave(): void {
    this.#chain?.remove(this);
    this.#chain = undefined;
    this.#value = undefined;
  }
}

/** Some of whom each knows his own place, in the order in which they came. */
export class Crowd<T extends object> implements Iterable<T> {
  readonly #places = new Chain<Place<T>>();

  get size(): number {
    return this.#places.size;
  }

  add(value: T): Place<T> {
    const place = new Place<T>(this.#places, value);
    this.#places.add(place);
    return place;
  }

  /** Those who are here now. Who leaves before his turn has none; who comes meanwhile neither. */
  *[Symbol.iterator](): Generator<T, undefined> {
    for (const { value } of this.#places.list()) if (value !== undefined) yield value;
  }
}

/** Fewest buckets. There is always a power of two of them. */
const MIN_BUCKETS = 2;
/** With more members than buckets there are twice as many; with so many buckets for each member, half as many. */
const SPARSE = 8;

/** A member of a roster. */
class Entry<K, V> extends Link<Entry<K, V>> {
  readonly key: K;
  readonly hash: number;
  /** Undefined once it has left. */
  value: V | undefined;
  isIn = true;
  /** The next in the same bucket. */
  next: Entry<K, V> | undefined;

  constructor(key: K, hash: number, value: V, next: Entry<K, V> | undefined) {
    super();
    this.key = key;
    this.hash = hash;
    this.value = value;
    this.next = next;
  }
}

/** Members by an id. As with a `Map`, they are listed in the order in which they came. */
export class Roster<K extends string | number, V> {
  readonly #seed: number;
  readonly #entries = new Chain<Entry<K, V>>();
  #buckets: (Entry<K, V> | undefined)[] = emptyBuckets(MIN_BUCKETS);

  /** `seed`, 32 bits: where a peer chooses the ids it must not know it, or it could choose such as fall into one bucket. */
  constructor(seed = 0) {
    this.#seed = seed;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: K): V | undefined {
    return this.#find(key, hashOf(key, this.#seed))?.value;
  }

  has(key: K): boolean {
    return this.#find(key, hashOf(key, this.#seed)) !== undefined;
  }

  set(key: K, value: V): void {
    const hash = hashOf(key, this.#seed);
    const known = this.#find(key, hash);
    if (known !== undefined) {
      known.value = value;
      return;
    }
    if (this.size === this.#buckets.length) this.#resize(this.#buckets.length * 2);
    const at = hash & (this.#buckets.length - 1);
    const entry = new Entry<K, V>(key, hash, value, this.#buckets[at]);
    this.#entries.add(entry);
    this.#buckets[at] = entry;
  }

  delete(key: K): boolean {
    const hash = hashOf(key, this.#seed);
    const at = hash & (this.#buckets.length - 1);
    let previous: Entry<K, V> | undefined;
    let entry = this.#buckets[at];
    while (entry !== undefined && entry.key !== key) {
      previous = entry;
      entry = entry.next;
    }
    if (entry === undefined) return false;
    if (previous === undefined) this.#buckets[at] = entry.next;
    else previous.next = entry.next;
    entry.next = undefined;
    entry.value = undefined;
    entry.isIn = false;
    this.#entries.remove(entry);
    if (this.size * SPARSE < this.#buckets.length && this.#buckets.length > MIN_BUCKETS)
      this.#resize(this.#buckets.length / 2);
    return true;
  }

  clear(): void {
    for (const key of this.keys()) this.delete(key);
  }

  /** Those who are here now. Who leaves before his turn is left out; who comes meanwhile too. */
  *values(): Generator<V, undefined> {
    for (const entry of this.#entries.list()) if (entry.isIn) yield entry.value as V;
  }

  *keys(): Generator<K, undefined> {
    for (const entry of this.#entries.list()) if (entry.isIn) yield entry.key;
  }

  #find(key: K, hash: number): Entry<K, V> | undefined {
    let entry = this.#buckets[hash & (this.#buckets.length - 1)];
    while (entry !== undefined && entry.key !== key) entry = entry.next;
    return entry;
  }

  #resize(count: number): void {
    const former = this.#buckets;
    const buckets = emptyBuckets<K, V>(count);
    for (const entry of this.#entries.list()) {
      const at = entry.hash & (count - 1);
      entry.next = buckets[at];
      buckets[at] = entry;
    }
    this.#buckets = buckets;
    // It may have got into the old space, and must keep nobody.
    former.fill(undefined);
  }
}

function emptyBuckets<K, V>(count: number): (Entry<K, V> | undefined)[] {
  return new Array<Entry<K, V> | undefined>(count).fill(undefined);
}
