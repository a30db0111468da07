/** What tests need of the machine is installed, also where another of them is at it: it was skipped then. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

const SOURCE = JSON.stringify(join(import.meta.dirname, '../../scripts/debian-packages.ts'));

/** Asks for a command that is not there, where `apt-get` is that shell script; answers what is missing then, what was said, and the calls. */
function installWith(
  t: TestContext,
  script: string,
): { readonly missing: readonly string[]; readonly lines: readonly string[]; readonly calls: string } {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-apt-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const aptGet = join(folder, 'apt-get');
  writeFileSync(aptGet, `#!/bin/sh\ncd ${folder}\necho "$1" >> calls\n${script}\n`);
  chmodSync(aptGet, 0o755);
  const program = `
    import { missingAfterInstall } from ${SOURCE};
    const lines = [];
    const tool = { command: 'godwit-test-tool', packageName: 'godwit-test-package' };
    const missing = await missingAfterInstall([tool], (line) => lines.push(line));
    console.log(JSON.stringify({ missing, lines }));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${folder}:${process.env['PATH']}` },
  });
  assert.notEqual(stdout, '', stderr);
  const { missing, lines } = JSON.parse(stdout) as {
    readonly missing: readonly string[];
    readonly lines: readonly string[];
  };
  return { missing, lines, calls: readFileSync(join(folder, 'calls'), 'utf8') };
}

const skip = process.getuid?.() === 0 ? false : 'only root installs packages';

test('a package is installed once the one who holds the lock is done', { skip }, (t) => {
  const { missing, calls } = installWith(
    t,
    `if [ $(wc -l < calls) -lt 4 ]; then echo "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1" >&2; exit 100; fi
    touch godwit-test-tool`,
  );
  assert.deepEqual(missing, []);
  assert.equal(calls, 'install\nupdate\ninstall\nupdate\ninstall\n');
});

test('one that can’t be installed is tried for no longer than that takes', { skip }, (t) => {
  const { missing, lines, calls } = installWith(t, `echo "E: Unable to locate package" >&2; exit 100`);
  assert.deepEqual(missing, ['godwit-test-tool']);
  assert.equal(calls, 'install\nupdate\n');
  assert.match(lines.at(-1) ?? '', /Unable to locate package/);
});
