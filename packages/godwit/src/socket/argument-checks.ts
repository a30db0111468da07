/** Checks of arguments, with the codes and much of the words of node. */
import { argumentError } from '../errors.ts';

export function wrongType(name: string, wanted: string, value: unknown): Error {
  const kind = name.includes('.') ? 'property' : 'argument';
  const received = value === null || value === undefined ? String(value) : `type ${typeof value}`;
  return argumentError(
    TypeError,
    'ERR_INVALID_ARG_TYPE',
    `The "${name}" ${kind} must be ${wanted}. Received ${received}`,
  );
}

export function checkNumber(value: unknown, name: string): void {
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value);
}

export function checkInteger(value: unknown, name: string, min: number, max: number): void {
  if (typeof value !== 'number') throw wrongType(name, 'of type number', value);
  if (!Number.isInteger(value) || value < min || value > max) {
    const range = Number.isInteger(value) ? `>= ${min} && <= ${max}` : 'an integer';
    throw argumentError(
      RangeError,
      'ERR_OUT_OF_RANGE',
      `The value of "${name}" is out of range. It must be ${range}. Received ${value}`,
    );
  }
}

/** Least and most of options that are numbers, by name. */
export type Ranges = Readonly<Record<string, readonly [min: number, max: number]>>;

/** What setTimeout can wait for, in milliseconds. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** Limits are whole numbers, of bytes or of things; those that are not in `ranges` may be any that is not below 0. */
export function checkLimits(given: object | undefined, ranges: Ranges = {}): void {
  for (const [name, value] of Object.entries(given ?? {})) {
    const [min, max] = ranges[name] ?? [0, Number.MAX_SAFE_INTEGER];
    if (value !== undefined) checkInteger(value, `options.limits.${name}`, min, max);
  }
}

/** Timers are milliseconds, and need not be whole. Infinity, and what is none, would stop the clock of a session. */
export function checkTimers(given: object | undefined, ranges: Ranges = {}): void {
  for (const [name, value] of Object.entries(given ?? {})) {
    if (value === undefined) continue;
    const [min, max] = ranges[name] ?? [0, MAX_TIMER_MS];
    if (typeof value !== 'number') throw wrongType(`options.timers.${name}`, 'of type number', value);
    if (!(value >= min && value <= max))
      throw argumentError(
        RangeError,
        'ERR_OUT_OF_RANGE',
        `The value of "options.timers.${name}" is out of range. It must be >= ${min} && <= ${max}. Received ${value}`,
      );
  }
}

export function checkBoolean(value: unknown, name: string): void {
  if (typeof value !== 'boolean') throw wrongType(name, 'of type boolean', value);
}

export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw wrongType(name, 'of type function', value);
}
