import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';
import godwit, * as named from './index.ts';

describe('the module takes the place of node:net', () => {
  for (const name of Object.keys(net)) {
    test(`${name} is there, by name and in the default export`, () => {
      assert.ok(name in named, `no export ${name}`);
      assert.ok(name in godwit);
      assert.equal(typeof (named as Record<string, unknown>)[name], typeof Reflect.get(net, name));
    });
  }

  test('connections are this module’s, addresses are net’s', () => {
    assert.notEqual(godwit.Socket, net.Socket);
    assert.equal(godwit.Stream, godwit.Socket);
    assert.equal(named.BlockList, net.BlockList);
    assert.equal(godwit.isIP, net.isIP);
  });

  test('a class may extend what may be called without new', () => {
    class Mine extends named.Socket {}
    assert.ok(new Mine() instanceof named.Socket);
    assert.equal(new Mine().migratory, true);
    assert.equal(new named.Socket().constructor, named.Socket);
  });
});
