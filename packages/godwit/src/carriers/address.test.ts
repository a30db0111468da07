import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress, parseAddress, unixAddress, unixPathOf } from './address.ts';

for (const [text, host, port] of [
  ['example.org:80', 'example.org', 80],
  ['127.0.0.1:0', '127.0.0.1', 0],
  ['[::1]:7000', '::1', 7000],
  ['unix:/run/a.sock', 'unix:/run/a.sock', 0],
  ['unix:relative:70', 'unix:relative:70', 0],
  ['unix:\0abstract', 'unix:\0abstract', 0],
] as const)
  test(`${JSON.stringify(text)} is an address, and written so`, () => {
    assert.deepEqual(parseAddress(text), { host, port });
    assert.equal(formatAddress({ host, port }), text);
  });

for (const text of ['', 'unix:', 'host', 'host:', ':80', 'a:b:80', '[::1]', '::1:80', 'host:123456'])
  test(`${JSON.stringify(text)} is none`, () => assert.equal(parseAddress(text), undefined));

test('a path has an address, and only that has a path', () => {
  assert.deepEqual(unixAddress('/a b'), { host: 'unix:/a b', port: 0 });
  assert.equal(unixPathOf('unix:/a b'), '/a b');
  assert.equal(unixPathOf('unix.example.org'), undefined);
});
