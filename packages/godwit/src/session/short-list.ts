/** Lists that are short nearly always, of which each session has several. */

/** An empty list with room for one item. V8 gives a list that grows from nothing room for 17, which is 100 bytes more. */
export function listOfOne<T>(): T[] {
  const list: (T | undefined)[] = [undefined];
  list.pop();
  return list as T[];
}
