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

export function checkBoolean(value: unknown, name: string): void {
  if (typeof value !== 'boolean') throw wrongType(name, 'of type boolean', value);
}

export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw wrongType(name, 'of type function', value);
}
