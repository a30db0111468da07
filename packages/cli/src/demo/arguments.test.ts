import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError, parseDemoArguments } from './arguments.ts';
import type { DemoOptions } from './arguments.ts';

const small = import.meta.filename;

function parse(...args: string[]): DemoOptions {
  const options = parseDemoArguments(args);
  assert.ok(options !== 'help');
  return options;
}

test('without arguments the demo takes the running node binary, three kills and a seed of its own', () => {
  const { file, kills, delivery, json, rate, seed } = parse();
  assert.deepEqual(
    { file, kills, delivery, json },
    { file: process.execPath, kills: 3, delivery: 'replay', json: false },
  );
  assert.equal(rate, undefined);
  assert.notEqual(seed, parse().seed);
});

test('every option is taken as it is written', () => {
  const options = parse(small, '--json', '--seed', '7', '--delivery=commit', '--kills', '5', '--rate', '2.5');
  assert.partialDeepStrictEqual(options, {
    file: small,
    json: true,
    seed: 7,
    delivery: 'commit',
    kills: 5,
    rate: 2.5,
  });
});

test('--help is heard whatever else is said', () => {
  assert.equal(parseDemoArguments(['--help', '/no/such/file']), 'help');
});

test('what is wrong with a command line is said', () => {
  const wrong: readonly (readonly [args: string[], message: RegExp])[] = [
    [['--what'], /--what/],
    [[small, small], /one FILE, not 2/],
    [[small, '--delivery', 'maybe'], /replay or commit, not "maybe"/],
    [[small, '--kills', '0'], /--kills is a whole number from 1 to 50, not "0"/],
    [[small, '--kills', '2.5'], /whole number/],
    [[small, '--seed', '-1'], /--seed/],
    [[small, '--seed', ''], /--seed/],
    [[small, '--rate', 'fast'], /--rate is a number/],
    [['/no/such/file'], /can't read \/no\/such\/file: ENOENT/],
    [['/'], /is not a file/],
    [['/dev/null'], /is not a file/],
  ];
  for (const [args, message] of wrong) {
    assert.throws(
      () => parseDemoArguments(args),
      (error: Error) => error instanceof UsageError && message.test(error.message),
      args.join(' '),
    );
  }
});
