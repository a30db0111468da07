/** All that an object graph holds: as text, to see whether anything has changed, and in bytes, to see how much there is. */
import type { Crowd, Roster } from '../../../packages/godwit/src/session/roster.ts';
import type { Tombstones } from '../../../packages/godwit/src/session/tombstones.ts';

/** What an object costs beside its members; a guess that errs on the small side. */
const OBJECT_BYTES = 32;
const MEMBER_BYTES = 8;

/** The values of `root` and of all it leads to, but for members of those names. Functions say nothing. */
export function describe(root: unknown, without: ReadonlySet<string>): string {
  const numbers = new Map<object, number>();
  const text: string[] = [];
  const visit = (value: unknown): void => {
    if (typeof value === 'function') return;
    if (typeof value !== 'object' || value === null) {
      text.push(String(value), ' ');
      return;
    }
    const number = numbers.get(value);
    if (number !== undefined) {
      text.push('=', String(number), ' ');
      return;
    }
    numbers.set(value, numbers.size);
    if (ArrayBuffer.isView(value)) {
      text.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex'), ' ');
      return;
    }
    text.push('{');
    for (const [key, member] of membersOf(value)) {
      if (typeof key === 'string' && without.has(key)) continue;
      if (typeof key === 'string' || typeof key === 'number') text.push(String(key), ':');
      visit(member);
    }
    text.push('}');
  };
  visit(root);
  return text.join('');
}

/** Every entry of that key in a map, set or roster, and every tombstone of that id, that `root` leads to, with the way to it: wherever something is known of the key. */
export function entriesNamed(
  root: unknown,
  key: string,
  without: ReadonlySet<string>,
): [way: string, entry: unknown][] {
  const found: [string, unknown][] = [];
  const seen = new Set<object>();
  const visit = (value: unknown, way: string): void => {
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || seen.has(value)) return;
    seen.add(value);
    if (value instanceof Set && value.has(key)) found.push([way, true]);
    const stone = isCalled<Tombstones>(value, 'Tombstones') ? value.get(key, -Infinity) : undefined;
    if (stone !== undefined) found.push([way, stone]);
    const isKeyed = value instanceof Map || isCalled<Roster<string, unknown>>(value, 'Roster');
    for (const [name, member] of membersOf(value)) {
      if (typeof name === 'string' && without.has(name)) continue;
      if (name === key && isKeyed) found.push([way, member]);
      else visit(member, `${way}.${String(name)}`);
    }
  };
  visit(root, '');
  return found.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The first place in which two descriptions differ, with what stands before it. */
export function difference(before: string, after: string): string {
  let at = 0;
  while (at < before.length && before[at] === after[at]) at += 1;
  const from = Math.max(0, at - 160);
  return `before: …${before.slice(from, at + 80)}…\nafter:  …${after.slice(from, at + 80)}…`;
}

/** Roughly what `root` and all it leads to occupy, in bytes, but for members of those names. */
export function retainedBytes(root: unknown, without: ReadonlySet<string>): number {
  const seen = new Set<object>();
  let bytes = 0;
  const waiting: unknown[] = [root];
  while (waiting.length > 0) {
    const value = waiting.pop();
    if (typeof value === 'string') bytes += value.length;
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    bytes += OBJECT_BYTES;
    if (ArrayBuffer.isView(value)) {
      if (!seen.has(value.buffer)) bytes += value.buffer.byteLength;
      seen.add(value.buffer);
      continue;
    }
    for (const [key, member] of membersOf(value)) {
      if (typeof key === 'string' && without.has(key)) continue;
      bytes += MEMBER_BYTES;
      waiting.push(member);
      if (typeof key === 'object' || typeof key === 'string') waiting.push(key);
    }
  }
  return bytes;
}

function membersOf(value: object): Iterable<readonly [key: unknown, member: unknown]> {
  if (value instanceof Map) return value as ReadonlyMap<unknown, unknown>;
  if (value instanceof Set)
    return [...(value as ReadonlySet<unknown>)].map((member, i) => [i, member] as const);
  // How many buckets a roster has is left of those who were there.
  if (isCalled<Roster<string, unknown>>(value, 'Roster'))
    return [...value.keys()].map((key) => [key, value.get(key)] as const);
  if (isCalled<Crowd<object>>(value, 'Crowd')) return [...value].map((member, i) => [i, member] as const);
  return Object.entries(value);
}

/** Of the class of that name, whichever copy of the sources it is from. */
function isCalled<T extends object>(value: object, name: string): value is T {
  return (value.constructor as { readonly name: string } | undefined)?.name === name;
}
