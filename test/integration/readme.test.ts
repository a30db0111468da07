/** The example on the front page does what the page says: run in processes of its own, with two kills. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { freePorts } from './free-ports.ts';

const root = dirname(dirname(import.meta.dirname));
// Within the repository, so that the example finds `godwit` as a reader's would in their node_modules.
const cache = join(root, 'node_modules', '.cache');
mkdirSync(cache, { recursive: true });
const folder = mkdtempSync(join(cache, 'readme-'));
const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const EXAMPLE = /<!-- example:begin -->\n```js\n([\s\S]*?)```\n<!-- example:end -->/;

test('the example of README.md counts from 1 to 100 across two killed servers', async () => {
  const [, code = ''] = EXAMPLE.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? [];
  assert.notEqual(code, '', 'README.md has no example between its markers');
  const [first = '', second = ''] = await freePorts(2);
  writeFileSync(join(folder, 'count.mjs'), code.replaceAll('7001', first).replaceAll('7002', second));

  const atFirst = await serve(first);
  const atSecond = await serve(second);
  const client = run([]);
  let output = '';
  client.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise((resolve) => client.once('exit', resolve));

  const printed = async (text: string): Promise<void> => {
    while (!output.includes(text)) await once(client.stdout as Readable, 'data');
  };
  await printed('20\n');
  await kill(atFirst);
  await printed('50\n');
  await serve(first);
  await kill(atSecond);
  assert.equal(await ended, 0);

  const lines = output.trimEnd().split('\n');
  assert.deepEqual(
    lines.filter((line) => line.startsWith('moved')),
    [
      `moved from 127.0.0.1:${first} to 127.0.0.1:${second}`,
      `moved from 127.0.0.1:${second} to 127.0.0.1:${first}`,
    ],
  );
  assert.deepEqual(
    lines.filter((line) => !line.startsWith('moved')),
    Array.from({ length: 100 }, (_, index) => `${index + 1}`),
  );
});

function run(args: readonly string[]): ChildProcess {
  const preload = pathToFileURL(join(import.meta.dirname, 'children/tell-listening.mjs')).href;
  const options = ['--conditions=godwit-source', '--import', preload];
  const child = spawn(process.execPath, [...options, 'count.mjs', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  children.add(child);
  return child;
}

/** A server, once its port takes connections. */
async function serve(port: string): Promise<ChildProcess> {
  const child = run(['serve', port]);
  await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => assert.fail(`the server ended with ${String(code)}`)),
  ]);
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
