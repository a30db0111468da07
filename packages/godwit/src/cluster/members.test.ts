import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ServerAddress } from '../wire/index.ts';
import { MAX_MEMBERS, Members, parseMember, type MembersOption, type MembersOptions } from './members.ts';

const SELF: ServerAddress = { name: 'self', host: '10.0.0.9', port: 7000 };

function createMembers(source: MembersOption, options: Partial<MembersOptions> = {}) {
  const changes: (readonly ServerAddress[])[] = [];
  const errors: Error[] = [];
  const members = new Members(source, {
    self: () => SELF,
    onChange: (list) => changes.push(list),
    onError: (error) => errors.push(error),
    ...options,
  });
  return { members, changes, errors };
}

const namesOf = (list: readonly ServerAddress[]) => list.map(({ name }) => name);

describe('a member', () => {
  test('is read from text or parts, and named after its address unless it has a name', () => {
    assert.deepEqual(parseMember('a.example:7000'), {
      name: 'a.example:7000',
      host: 'a.example',
      port: 7000,
    });
    assert.deepEqual(parseMember('[::1]:7000'), { name: '[::1]:7000', host: '::1', port: 7000 });
    assert.deepEqual(parseMember({ host: '::1', port: 1 }), { name: '[::1]:1', host: '::1', port: 1 });
    assert.deepEqual(parseMember({ name: 'n', host: 'h', port: 2 }), { name: 'n', host: 'h', port: 2 });
  });

  test('is refused without a proper host, port or name', () => {
    for (const bad of [
      '',
      'host',
      ':7000',
      'host:',
      'host:port',
      '::1:7000',
      'a b:1',
      'host:1x',
      'dns:host:1',
    ]) {
      assert.throws(() => parseMember(bad), TypeError, bad);
    }
    for (const port of [0, 65_536, 1.5, NaN])
      assert.throws(() => parseMember({ host: 'h', port }), RangeError);
    assert.throws(() => parseMember('host:65536'), RangeError);
    assert.throws(() => parseMember({ host: '', port: 1 }), TypeError);
    assert.throws(() => parseMember({ name: '', host: 'h', port: 1 }), RangeError);
    assert.throws(() => parseMember(`${'x'.repeat(64)}:1`), RangeError);
    assert.throws(() => parseMember({ name: 'n', host: 'x'.repeat(129), port: 1 }), RangeError);
  });
});

describe('members', () => {
  test('of a list are known at once, sorted, without doubles and without this server', async () => {
    const list = ['b:1', 'a:1', 'b:1', '10.0.0.9:7000', { name: 'self', host: 'elsewhere', port: 1 }];
    const { members, changes } = createMembers(list);
    await members.start();
    await members.refresh();
    assert.deepEqual(namesOf(members.list), ['a:1', 'b:1']);
    assert.deepEqual(changes, [members.list]);
  });

  test('of a wrong list are an error at once', () => {
    assert.throws(() => createMembers(['a:1', 'nonsense']), TypeError);
    assert.throws(() => createMembers('nonsense'), TypeError);
  });

  test('of a DNS name are all its addresses, read again and again', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    let answers = ['10.0.0.2', '10.0.0.1', '10.0.0.9'];
    const asked: string[] = [];
    const { members, changes } = createMembers('dns:cluster.local:7000', {
      refreshIntervalMs: 1_000,
      resolve: async (host) => {
        asked.push(host);
        return answers;
      },
    });
    await members.start();
    assert.deepEqual(namesOf(members.list), ['10.0.0.1:7000', '10.0.0.2:7000']);
    // Another order is no change.
    answers = ['10.0.0.1', '10.0.0.9', '10.0.0.2'];
    t.mock.timers.tick(1_000);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(changes.length, 1);
    answers = ['10.0.0.3'];
    t.mock.timers.tick(1_000);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(changes.map(namesOf), [['10.0.0.1:7000', '10.0.0.2:7000'], ['10.0.0.3:7000']]);
    members.close();
    t.mock.timers.tick(5_000);
    assert.deepEqual(asked, ['cluster.local', 'cluster.local', 'cluster.local']);
  });

  test('of a function may come later; when it fails the list stays', async () => {
    let answer: () => Promise<string[]> = async () => ['a:1'];
    const { members, changes, errors } = createMembers(() => answer());
    await members.start();
    for (const bad of [async () => Promise.reject(new Error('down')), async () => ['a:1', 'nonsense']]) {
      answer = bad;
      await members.refresh();
    }
    assert.deepEqual(namesOf(members.list), ['a:1']);
    assert.deepEqual([changes.length, errors.length], [1, 2]);
    members.close();
  });

  test('of a slow answer do not replace those of a later question', async () => {
    const answers: ((list: string[]) => void)[] = [];
    const { members, changes } = createMembers(() => new Promise((resolve) => answers.push(resolve)));
    const [first, second] = [members.refresh(), members.refresh()];
    answers[1]?.(['new:1']);
    await second;
    answers[0]?.(['old:1']);
    await first;
    assert.deepEqual(changes.map(namesOf), [['new:1']]);
  });

  test('are bounded', async () => {
    const { members, errors } = createMembers(() =>
      Array.from({ length: MAX_MEMBERS + 1 }, (_, port) => `a:${port + 1}`),
    );
    await members.start();
    assert.deepEqual([members.list.length, errors.length], [MAX_MEMBERS, 1]);
    members.close();
  });
});
