/** Cluster keys from a file or from the environment (protocol.md §8.1). No error quotes what may be part of a key. */
import { readFileSync, statSync } from 'node:fs';
import { GodwitError } from '../errors.ts';
import { KeyRing } from './key-ring.ts';

/** Whoever else may read or write the file has the keys. */
const OTHERS_MODE = 0o077;

/**
 * The keys of a file, newest first: one a line, as text of 64 hexadecimal digits or 43 characters of base64; empty lines and
 * lines that begin with `#` do not count. Throws ERR_GODWIT_KEY_FILE when it can't be read, when others than its owner can
 * read or write it, or when a line is no key.
 */
export function readKeyFile(path: string): string[] {
  let text: string;
  try {
    checkMode(path);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof GodwitError) throw error;
    throw refused(path, `can not be read: ${(error as Error).message}`, error);
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const keys: string[] = [];
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    checkKey(line, path, index + 1);
    keys.push(line);
  }
  if (keys.length === 0) throw refused(path, 'has no key: make one with `godwit keygen`');
  return keys;
}

/** A ring of the keys in a file. Throws as `readKeyFile` does, and `RangeError` beyond 8 keys. */
export function ringFromFile(path: string): KeyRing {
  return new KeyRing(readKeyFile(path));
}

/**
 * Reads the file again: its first key seals from now on, keys that it has no more are revoked, and live sessions get fresh
 * tickets. Throws as `readKeyFile` does, and then the ring stays as it was.
 */
export function reloadRing(ring: KeyRing, path: string): void {
  ring.replace(readKeyFile(path));
}

/**
 * A ring of the keys in an environment variable, newest first, with commas or white space in between. Throws
 * ERR_GODWIT_KEY_FILE when there are none, and `TypeError` for what is no key. Other users of the machine may be able to see
 * the environment of a process: prefer a file.
 */
export function ringFromEnvironment(variable = 'GODWIT_KEYS', environment = process.env): KeyRing {
  const keys = (environment[variable] ?? '').split(/[\s,]+/).filter((key) => key !== '');
  if (keys.length === 0)
    throw new GodwitError('ERR_GODWIT_KEY_FILE', `the environment has no key in ${variable}`);
  return new KeyRing(keys);
}

function checkMode(path: string): void {
  // Windows has no such modes: there the access list of the file counts, which node does not show.
  if (process.platform === 'win32') return;
  const { mode } = statSync(path);
  if ((mode & OTHERS_MODE) === 0) return;
  const text = (mode & 0o777).toString(8).padStart(3, '0');
  throw refused(path, `has mode ${text}: others than its owner can get at the keys. Run: chmod 600 ${path}`);
}

function checkKey(text: string, path: string, line: number): void {
  try {
    new KeyRing(text);
  } catch (error) {
    throw refused(path, `has no key in line ${line}: ${(error as Error).message}`);
  }
}

function refused(path: string, message: string, cause?: unknown): GodwitError {
  return new GodwitError('ERR_GODWIT_KEY_FILE', `${path} ${message}`, cause === undefined ? {} : { cause });
}
