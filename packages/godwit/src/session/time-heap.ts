/**
 * Items by time, earliest first: a heap with four branches whose order, times and places are lists of numbers. Whoever has ten thousand
 * sessions finds each of them cold in the processor's cache, and a heap of objects touches a dozen for each that is due. This one touches
 * none but that.
 */

/** What an item that is not in a heap has in place of a handle. */
export const NO_HANDLE = -1;

/**
 * So many handles, and no more, are kept by a heap that is empty: 24 KiB. One that never is keeps those of as many items as there
 * ever were at once, 24 bytes each.
 */
const IDLE_HANDLES_MAX = 1_024;

export class TimeHeap<T> {
  /** In the order of the heap: an item's time is not above those of its branches. */
  readonly #times: number[] = [];
  readonly #handles: number[] = [];
  /** By handle. */
  readonly #items: (T | undefined)[] = [];
  readonly #places: number[] = [];
  readonly #freeHandles: number[] = [];

  get size(): number {
    return this.#times.length;
  }

  get firstAt(): number | undefined {
    return this.#times.length === 0 ? undefined : this.#times[0];
  }

  get first(): T | undefined {
    return this.#handles.length === 0 ? undefined : this.#items[this.#handles[0] as number];
  }

  /** The time of an item, by its handle. */
  at(handle: number): number {
    return this.#times[this.#places[handle] as number] as number;
  }

  /** Answers the handle by which the item is moved and removed. */
  add(item: T, at: number): number {
    const handle = this.#freeHandles.pop() ?? this.#items.length;
    this.#items[handle] = item;
    this.#times.push(at);
    this.#handles.push(handle);
    this.#up(this.#times.length - 1, at, handle);
    return handle;
  }

  move(handle: number, at: number): void {
    const place = this.#places[handle] as number;
    if (at < (this.#times[place] as number)) this.#up(place, at, handle);
    else this.#down(place, at, handle);
  }

  /** The handle means nothing any more. */
  remove(handle: number): void {
    const place = this.#places[handle] as number;
    this.#items[handle] = undefined;
    this.#freeHandles.push(handle);
    const lastAt = this.#times.pop() as number;
    const last = this.#handles.pop() as number;
    if (last !== handle) {
      const at = this.#times[place] as number;
      if (lastAt < at) this.#up(place, lastAt, last);
      else this.#down(place, lastAt, last);
    } else if (this.#times.length === 0 && this.#items.length > IDLE_HANDLES_MAX) {
      this.#items.length = 0;
      this.#places.length = 0;
      this.#freeHandles.length = 0;
    }
  }

  #up(from: number, at: number, handle: number): void {
    const times = this.#times;
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 2;
      if ((times[parent] as number) <= at) break;
      this.#put(place, times[parent] as number, this.#handles[parent] as number);
      place = parent;
    }
    this.#put(place, at, handle);
  }

  #down(from: number, at: number, handle: number): void {
    const times = this.#times;
    const size = times.length;
    let place = from;
    for (;;) {
      const first = place * 4 + 1;
      if (first >= size) break;
      let least = first;
      for (let child = first + 1; child < size && child < first + 4; child += 1)
        if ((times[child] as number) < (times[least] as number)) least = child;
      if ((times[least] as number) >= at) break;
      this.#put(place, times[least] as number, this.#handles[least] as number);
      place = least;
    }
    this.#put(place, at, handle);
  }

  #put(place: number, at: number, handle: number): void {
    this.#times[place] = at;
    this.#handles[place] = handle;
    this.#places[handle] = place;
  }
}
