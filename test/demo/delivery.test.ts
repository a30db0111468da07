/** What the demo promises to scripts: its JSON, its exit codes, and that it leaves nothing running. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { bytesFromSeed } from '../../packages/cli/src/demo/choices.ts';
import type { DemoResult } from '../../packages/cli/src/demo/result.ts';

const root = dirname(dirname(import.meta.dirname));
const DEMO = 'packages/cli/src/demo/main.ts';
const FILE_BYTES = 4 * 1024 * 1024;

describe('the demo', () => {
  let folder = '';
  let file = '';

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'godwit-demo-test-'));
    file = join(folder, 'file.bin');
    writeFileSync(file, bytesFromSeed(1, FILE_BYTES));
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const delivery of ['replay', 'commit'] as const) {
    test(`with --delivery ${delivery} gets every byte across three kills and a drain`, async () => {
      const { code, stdout, stderr } = await demo([file, '--json', '--seed', '5', '--delivery', delivery]);
      assert.equal(stdout.trim().split('\n').length, 1, stdout);
      const result = JSON.parse(stdout) as DemoResult;
      assert.deepEqual(result.problems, [], stderr);
      assert.equal(code, 0);
      assert.partialDeepStrictEqual(result, {
        ok: true,
        delivery,
        seed: 5,
        lost: 0,
        duplicated: 0,
        corrupt: 0,
      });
      assert.deepEqual(result.kills, { issued: 3, counted: 3 });
      assert.ok(result.crashes >= 3 && result.planned >= 1, stdout);
      assert.equal(result.migrations.length, result.crashes + result.planned);
      for (const { from, to, cause, blackoutMs } of result.migrations) {
        assert.ok(/^server-\d$/.test(from) && /^server-\d$/.test(to) && cause !== '');
        assert.ok(blackoutMs > 0 && blackoutMs <= (result.blackoutMs.max ?? 0));
      }
      const { down, up, source } = result.sha256;
      assert.equal(down.received, down.sent);
      assert.equal(up.received, up.sent);
      if (delivery === 'commit') return;
      assert.deepEqual([result.bytesDown, result.bytesUp], [FILE_BYTES, FILE_BYTES]);
      const expected = createHash('sha256').update(readFileSync(file)).digest('hex');
      assert.deepEqual([source, down.received, up.received], [expected, expected, expected]);
    });
  }

  test('on Ctrl-C ends at once, and no child and no file stays behind', async () => {
    const child = spawnDemo([file, '--rate', '0.1'], folder);
    const stdout = readOn(child.stdout);
    const stderr = readOn(child.stderr);
    await stdout.includes('connected to');
    const children = childrenOf(child);
    child.kill('SIGINT');
    assert.equal(await exitCode(child), 130);
    assert.deepEqual(children.filter(isAlive), []);
    assert.deepEqual(readdirSync(folder), ['file.bin']);
    assert.equal(stderr.text, '');
  });

  for (const [name, args] of [
    ['stdout', []],
    ['stderr', ['--json']],
  ] as const) {
    test(`ends at once when nobody reads its ${name} any more`, async () => {
      const child = spawnDemo([file, '--rate', '0.1', ...args], folder);
      const other = readOn(name === 'stdout' ? child.stderr : child.stdout);
      await readOn(child[name]).includes('connected to');
      const children = childrenOf(child);
      child[name].destroy();
      assert.equal(await exitCode(child), 141);
      assert.deepEqual(children.filter(isAlive), []);
      assert.deepEqual(readdirSync(folder), ['file.bin']);
      assert.equal(other.text, '', 'no stack trace, and no result');
    });
  }

  test('that can not start says why and exits with 2', async () => {
    const { code, stdout, stderr } = await demo(['/no/such/file', '--json']);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /can't read \/no\/such\/file/);
  });
});

function spawnDemo(args: readonly string[], temporary = tmpdir()) {
  return spawn(process.execPath, ['--conditions=godwit-source', DEMO, ...args], {
    cwd: root,
    env: { ...process.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function demo(
  args: readonly string[],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawnDemo(args);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => (stderr += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/**
 * Reads a stream to its end and tells when it has said something. To break out of a `for await` instead would close the
 * pipe, and the demo would end because nobody reads it.
 */
function readOn(stream: Readable): { readonly text: string; includes(text: string): Promise<void> } {
  let text = '';
  stream.on('data', (chunk) => (text += String(chunk)));
  return {
    get text() {
      return text;
    },
    async includes(wanted) {
      while (!text.includes(wanted)) await once(stream, 'data');
    },
  };
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

function childrenOf(parent: ChildProcess): number[] {
  const processes = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const children = processes
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, ppid]) => ppid === parent.pid)
    .map(([pid = 0]) => pid);
  assert.equal(children.length, 4, 'three servers and a client');
  return children;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
