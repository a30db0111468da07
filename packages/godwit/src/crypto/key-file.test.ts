/** Keys from files and from the environment: what is taken, what is refused, and that no error tells a key. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { KeyRing, readKeyFile, reloadRing, ringFromEnvironment, ringFromFile } from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'godwit-keys-'));
after(() => rmSync(folder, { recursive: true }));

const [one, two, three] = [KeyRing.generateKey(), KeyRing.generateKey(), KeyRing.generateKey()];
let files = 0;

function fileOf(text: string, mode = 0o600): string {
  files += 1;
  const path = join(folder, `keys-${files}`);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

test('a file has a key a line, newest first; comments and empty lines do not count', () => {
  const path = fileOf(`# of the chat cluster\n${one}\n\n  ${two}  \r\n# ${three}\n`);
  assert.deepEqual(readKeyFile(path), [one, two]);
  assert.equal(ringFromFile(path).newest.idText, new KeyRing(one).newest.idText);
});

test('reading it again seals with its first key, opens with those that stay, and revokes the others', () => {
  const path = fileOf(`${one}\n${two}\n`);
  const ring = ringFromFile(path);
  let changes = 0;
  ring.subscribe(() => {
    changes += 1;
  });
  writeFileSync(path, `${three}\n${one}\n`);
  reloadRing(ring, path);
  assert.deepEqual(
    ring.keys.map(({ idText }) => idText),
    new KeyRing([three, one]).keys.map(({ idText }) => idText),
  );
  assert.equal(changes, 1);
  reloadRing(ring, path);
  assert.equal(changes, 1, 'nothing changed, so nothing is sealed again');
});

for (const { what, text, mode, says } of [
  { what: 'others can read', text: one, mode: 0o644, says: /mode 644.*chmod 600/ },
  { what: 'the group can write', text: one, mode: 0o620, says: /mode 620/ },
  { what: 'is empty', text: '# nothing yet\n', mode: 0o600, says: /godwit keygen/ },
  { what: 'has a line that is no key', text: `${one}\n${two.slice(1)}\n`, mode: 0o600, says: /line 2/ },
]) {
  test(`a file that ${what} is refused in words, without telling a key, and leaves the ring as it was`, () => {
    const path = fileOf(text, mode);
    const ring = new KeyRing(three);
    for (const read of [() => readKeyFile(path), () => reloadRing(ring, path)])
      assert.throws(read, (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_GODWIT_KEY_FILE');
        assert.match(error.message, says);
        for (const key of [one, two, two.slice(1)]) assert.ok(!error.message.includes(key), error.message);
        return true;
      });
    assert.equal(ring.newest.idText, new KeyRing(three).newest.idText);
  });
}

test('a file that is not there is refused with its name', () => {
  assert.throws(() => readKeyFile(join(folder, 'missing')), {
    code: 'ERR_GODWIT_KEY_FILE',
    message: /missing/,
  });
});

test('the environment has keys newest first, or none, which is an error', () => {
  const ring = ringFromEnvironment('KEYS', { KEYS: `${one}, ${two}\n${three}` });
  assert.deepEqual(
    ring.keys.map(({ idText }) => idText),
    new KeyRing([one, two, three]).keys.map(({ idText }) => idText),
  );
  assert.throws(() => ringFromEnvironment('KEYS', {}), { code: 'ERR_GODWIT_KEY_FILE', message: /KEYS/ });
});
