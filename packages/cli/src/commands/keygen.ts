/** `godwit keygen`: a cluster key, to standard output or into a file that only its owner can read. */
import { chmodSync, closeSync, existsSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { Command, Option } from 'commander';
import { KeyRing, readKeyFile } from 'godwit';

interface KeygenOptions {
  readonly out?: string;
  readonly rotate?: string;
  readonly keep?: number;
}

/** Keys that a ring holds at most. */
const MAX_KEYS = 8;

export function keygenCommand(): Command {
  return new Command('keygen')
    .description('Makes a cluster key: 32 random bytes, as 43 characters of base64.')
    .addOption(
      new Option('-o, --out <file>', 'write it into a new file that only its owner can read').conflicts(
        'rotate',
      ),
    )
    .option('-r, --rotate <file>', 'put it in front of the keys of a file: it seals, the others still open')
    .addOption(
      new Option('-k, --keep <count>', 'with --rotate: keys to keep, the new one included')
        .default(3)
        .argParser(Number),
    )
    .addHelpText(
      'after',
      `
The same keys must be on all servers. To rotate without a gap: put the new key behind the first one on every server and
reload, then in front, then take the old one away once the last ticket under it has expired (an hour).`,
    )
    .action((options: KeygenOptions, command: Command) => {
      try {
        keygen(options);
      } catch (error) {
        command.error(`godwit keygen: ${(error as Error).message}`, { exitCode: 1 });
      }
    });
}

function keygen({ out, rotate, keep = 3 }: KeygenOptions): void {
  const key = KeyRing.generateKey();
  if (out !== undefined) create(out, `${key}\n`);
  else if (rotate !== undefined) rotateFile(rotate, key, keep);
  else process.stdout.write(`${key}\n`);
}

function create(path: string, text: string): void {
  if (existsSync(path)) throw new Error(`${path} is there already: use --rotate to put another key in front`);
  // 'wx' fails if somebody made it meanwhile; the mode counts from the first byte on.
  const file = openSync(path, 'wx', 0o600);
  writeSync(file, text);
  closeSync(file);
}

/** Whole or not at all: a server may read it at any time. */
function rotateFile(path: string, key: string, keep: number): void {
  if (!Number.isInteger(keep) || keep < 1 || keep > MAX_KEYS)
    throw new Error(`--keep is a number from 1 to ${MAX_KEYS}`);
  const kept = readKeyFile(path).slice(0, keep - 1);
  const comments = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('#'));
  const temporary = `${path}.${process.pid}.new`;
  create(temporary, `${[...comments, key, ...kept].join('\n')}\n`);
  chmodSync(temporary, 0o600);
  renameSync(temporary, path);
}
