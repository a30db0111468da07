import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { YoungBuffers } from './young-buffers.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;

/** Collections that cost `costMs` each, as the test sets it. */
class World {
  costMs = 0.1;
  collections = 0;
  sought = 0;
  #nowMs = 0;
  readonly young: YoungBuffers;

  constructor(has = true) {
    const collect = (): void => {
      this.collections += 1;
      this.#nowMs += this.costMs;
    };
    const find = (): (() => void) | undefined => {
      this.sought += 1;
      return has ? collect : undefined;
    };
    this.young = new YoungBuffers(find, () => this.#nowMs);
  }

  /** How many collections that many bytes bring about. */
  took(mebibytes: number): number {
    const before = this.collections;
    for (let taken = 0; taken < mebibytes * 16; taken += 1) this.young.took(MIB / 16);
    return this.collections - before;
  }
}

test('young buffers are collected before there are 16 MiB of them', () => {
  const world = new World();
  const collections = world.took(1024);
  assert.ok(collections > 1024 / 16 && collections < 1024 / 4, String(collections));
});

test('less than that is left to V8, and nothing is sought for it', () => {
  const world = new World();
  world.took(5);
  assert.equal(world.sought, 0);
});

test('where collecting is dear it is given up, tried again now and then, and taken up when it is cheap again', () => {
  const world = new World();
  world.took(1024);
  world.costMs = 20;
  world.took(1024);
  const seldom = world.took(1024);
  assert.ok(seldom >= 8 && seldom <= 32, `${seldom} while it is dear`);
  world.costMs = 0.1;
  world.took(128);
  const often = world.took(1024);
  assert.ok(often > 1024 / 16, `${often} when it is cheap again`);
});

test('a few collections that took long change nothing', () => {
  const world = new World();
  world.took(1024);
  world.costMs = 12;
  world.took(24);
  world.costMs = 0.1;
  assert.ok(world.took(1024) > 1024 / 16);
});

test('without a collector there is nothing to do, and it is sought once', () => {
  const world = new World(false);
  world.took(1024);
  assert.equal(world.sought, 1);
});

/** Buffers as a stream reads them; prints how often the whole heap was marked, and what is left of the flag. */
const CHURN = `
  import { GCProfiler } from 'node:v8';
  import { runInNewContext } from 'node:vm';
  const profiler = new GCProfiler();
  profiler.start();
  for (let read = 0; read < 16_000; read += 1) {
    Buffer.allocUnsafeSlow(64 * 1024);
    took(64 * 1024);
    if (read % 16 === 0) await new Promise(setImmediate);
  }
  const marked = profiler.stop().statistics.filter(({ gcType }) => gcType === 'MarkSweepCompact').length;
  console.log(JSON.stringify({ marked, here: typeof globalThis.gc, elsewhere: runInNewContext('typeof gc') }));
`;

async function churn(took: string): Promise<{ marked: number; here: string; elsewhere: string }> {
  const args = ['--conditions=godwit-source', '--input-type=module', '--eval', `${took}\n${CHURN}`];
  const { stdout } = await run(process.execPath, args, { cwd: import.meta.dirname });
  return JSON.parse(stdout) as { marked: number; here: string; elsewhere: string };
}

test('a stream of buffers makes V8 mark the whole heap a few times at most, and no flag stays set', async (context) => {
  const source = JSON.stringify(new URL('young-buffers.ts', import.meta.url).href);
  const early = await churn(
    `const { youngBuffers } = await import(${source}); const took = (bytes) => youngBuffers.took(bytes);`,
  );
  const usual = await churn('const took = () => undefined;');
  const said = `${early.marked} times, and ${usual.marked} without`;
  context.diagnostic(said);
  assert.ok(usual.marked >= 6, said);
  assert.ok(early.marked <= usual.marked / 3, said);
  assert.deepEqual([early.here, early.elsewhere], ['undefined', 'undefined']);
});
