/**
 * A wall clock that jumps. Two executions of a test are milliseconds apart, so a handler that writes a date, or a time in
 * whole seconds, would look deterministic; after a real crash it may be executed again much later.
 */

/** Another second, minute and millisecond; below the lifetime of a ticket, which the same clock measures. */
export const SHIFT_MS = (37 * 60 + 13) * 1000 + 777;

let users = 0;
let shiftMs = 0;
let original: DateConstructor | undefined;
let installed: DateConstructor | undefined;

/** `Date` follows `shiftClock` until the answer is called. Checks of one process share the clock. */
export function takeClock(): () => void {
  if (users === 0) install();
  users += 1;
  let taken = true;
  return () => {
    if (!taken) return;
    taken = false;
    users -= 1;
    if (users === 0) restore();
  };
}

/** How far `Date` is ahead, in milliseconds. */
export function shiftClock(ms: number): void {
  shiftMs = ms;
}

function install(): void {
  const real = globalThis.Date;
  original = real;
  // tidy-allow: this is the clock that the handler under test reads
  const now = (): number => real.now() + shiftMs;
  installed = new Proxy(real, {
    apply: () => new real(now()).toString(),
    construct: (target, given: unknown[], newTarget) =>
      Reflect.construct(target, given.length === 0 ? [now()] : given, newTarget) as object,
    get: (target, name, receiver) =>
      name === 'now' ? now : (Reflect.get(target, name, receiver) as unknown),
  });
  globalThis.Date = installed;
}

function restore(): void {
  shiftMs = 0;
  // Whoever put another clock in place meanwhile keeps it.
  if (globalThis.Date === installed && original !== undefined) globalThis.Date = original;
  original = undefined;
  installed = undefined;
}
