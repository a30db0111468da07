import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress, networkOf, parseAddress, unixAddress, unixPathOf } from './address.ts';

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

for (const [address, network] of [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::6', '2001:db8:1:2::/64'],
  ['2001:0db8::', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
  ['a-host', 'a-host'],
] as const)
  test(`${address} counts as ${network}`, () => assert.equal(networkOf(address), network));
