import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { RecordType, writeRecordHeader } from '../wire/index.ts';
import { END_TIMEOUT_MS, type Carrier, type CarrierClosed, type CarrierHandlers } from './carrier.ts';
import { UNREAD_BYTES_MAX, type Channel } from './channel.ts';
import { createMemoryPair, type MemoryCarrier } from './memory.ts';
import { QUEUED_BYTES_MAX, REFUSED, Trunk, type TrunkHooks } from './trunk.ts';

/** What happened to a channel, as text. */
class Log implements CarrierHandlers {
  text = '';
  closed: CarrierClosed | undefined;
  get code(): string | undefined {
    return this.closed?.code;
  }
  drains = 0;
  onData(chunk: Uint8Array): void {
    assert.equal(this.closed, undefined, 'bytes behind the end');
    this.text += Buffer.from(chunk).toString('latin1');
  }
  onDrain(): void {
    this.drains += 1;
  }
  onClose(closed: CarrierClosed): void {
    assert.equal(this.closed, undefined, 'told twice');
    this.closed = closed;
  }
}

interface Ends {
  readonly client: Trunk;
  readonly server: Trunk;
  readonly pipes: readonly [MemoryCarrier, MemoryCarrier];
  /** What the server has accepted, with what they heard. */
  readonly accepted: { readonly channel: Channel; readonly log: Log }[];
  readonly ends: (CarrierClosed | string)[];
}

function pair(hooks: Partial<TrunkHooks> = {}): Ends {
  const pipes = createMemoryPair();
  const accepted: Ends['accepted'] = [];
  const ends: Ends['ends'] = [];
  const client = new Trunk(pipes[0], {
    onEmpty: () => ends.push('client is empty'),
    onRefused: () => ends.push('refused'),
    onClose: (closed) => ends.push(closed),
  });
  const server = new Trunk(pipes[1], {
    onChannel: (channel) => {
      const log = new Log();
      accepted.push({ channel, log });
      channel.start(log);
      return true;
    },
    onEmpty: () => ends.push('server is empty'),
    onClose: (closed) => ends.push(closed),
    ...hooks,
  });
  client.start();
  server.start();
  return { client, server, pipes, accepted, ends };
}

function open(trunk: Trunk): { readonly channel: Channel; readonly log: Log } {
  const channel = trunk.openChannel();
  const log = new Log();
  channel.start(log);
  return { channel, log };
}

async function settle(): Promise<void> {
  for (let turns = 0; turns < 8; turns += 1) await turn();
}

/** All that a raw client writes, and what becomes of the trunk. */
async function receive(...records: readonly Uint8Array[]): Promise<Ends> {
  const ends = pair();
  ends.pipes[0].write(records);
  await settle();
  return ends;
}

function record(type: number, channel: number, bytes = ''): Uint8Array {
  const all = Buffer.alloc(8 + bytes.length);
  writeRecordHeader(all, 0, { type: type as RecordType, channel, length: bytes.length });
  all.write(bytes, 8, 'latin1');
  return all;
}

test('channels are pipes of their own: bytes of each arrive in order, at the right end', async () => {
  const { client, accepted } = pair();
  const a = open(client);
  const b = open(client);
  a.channel.write([Buffer.from('a1'), Buffer.from('a2')]);
  b.channel.write([Buffer.from('b1')]);
  a.channel.write([Buffer.from('a3')]);
  await settle();
  assert.deepEqual(
    accepted.map(({ log }) => log.text),
    ['a1a2a3', 'b1'],
  );
  accepted[1]?.channel.write([Buffer.from('to b')]);
  accepted[0]?.channel.write([Buffer.from('to a')]);
  await settle();
  assert.deepEqual([a.log.text, b.log.text], ['to a', 'to b']);
});

test('what is sent in one turn of the event loop leaves in one write', async () => {
  const { client, pipes } = pair();
  const channels = [open(client), open(client), open(client)];
  await settle();
  const writes: number[] = [];
  const write = pipes[0].write.bind(pipes[0]);
  pipes[0].write = (parts) => {
    writes.push(parts.length);
    return write(parts);
  };
  for (const { channel } of channels) channel.write([Buffer.from('one'), Buffer.from('two')]);
  await settle();
  assert.deepEqual(writes, [1]);
});

describe('the end of a channel', () => {
  test('is told at both ends, behind all that was written, and touches no other', async () => {
    const { client, accepted, ends } = pair();
    const a = open(client);
    const b = open(client);
    a.channel.write([Buffer.from('last words')]);
    a.channel.end();
    assert.equal(a.log.closed, undefined, 'not from within the call');
    await settle();
    assert.equal(a.log.code, 'ERR_GODWIT_CARRIER_CLOSED');
    assert.equal(accepted[0]?.log.text, 'last words');
    assert.deepEqual([accepted[0]?.log.code, accepted[0]?.log.closed?.reset], ['ECONNRESET', true]);
    b.channel.write([Buffer.from('still here')]);
    await settle();
    assert.equal(accepted[1]?.log.text, 'still here');
    assert.deepEqual(ends, []);
    b.channel.end();
    await settle();
    assert.deepEqual(ends, ['client is empty', 'server is empty']);
  });

  test('drops what still comes, and what is still written', async () => {
    const { client, accepted } = pair();
    const a = open(client);
    await settle();
    accepted[0]?.channel.write([Buffer.from('on its way')]);
    a.channel.destroy();
    assert.equal(a.channel.write([Buffer.from('too late')]), true);
    await settle();
    assert.equal(a.log.text, '');
    assert.equal(accepted[0]?.log.text, '');
  });

  test('from both ends at once is one end', async () => {
    const { client, accepted, client: trunk } = pair();
    const a = open(client);
    await settle();
    a.channel.end();
    accepted[0]?.channel.end();
    await settle();
    assert.ok(a.log.closed !== undefined && accepted[0]?.log.closed !== undefined);
    assert.equal(trunk.isOver, false);
  });
});

describe('the end of the connection', () => {
  test('is the end of each channel, with its reason', async () => {
    const { client, pipes, accepted, ends } = pair();
    const channels = [open(client), open(client)];
    await settle();
    pipes[0].cut();
    await settle();
    for (const { log } of [...channels, ...accepted])
      assert.equal(log.closed?.message, 'the carrier was cut');
    assert.equal(ends.length, 2);
    assert.ok(client.isOver);
  });

  test('that this side makes is told to those that are left', async () => {
    const { client, server } = pair();
    const a = open(client);
    await settle();
    server.destroy();
    await settle();
    assert.equal(a.log.closed?.reset, true);
  });
});

describe('a channel that is not read', () => {
  test('keeps what came, and its end, until somebody reads', async () => {
    const { client, accepted } = pair();
    const channel = client.openChannel();
    await settle();
    accepted[0]?.channel.write([Buffer.from('early')]);
    accepted[0]?.channel.write([Buffer.from(' bird')]);
    await settle();
    accepted[0]?.channel.end();
    await settle();
    const log = new Log();
    channel.start(log);
    await settle();
    assert.deepEqual([log.text, log.code], ['early bird', 'ECONNRESET']);
  });

  test('goes on where it stopped, when it is resumed', async () => {
    const { client, accepted } = pair();
    const a = open(client);
    a.channel.pause();
    await settle();
    accepted[0]?.channel.write([Buffer.from('1')]);
    await settle();
    accepted[0]?.channel.write([Buffer.from('2')]);
    await settle();
    assert.equal(a.log.text, '');
    a.channel.resume();
    accepted[0]?.channel.write([Buffer.from('3')]);
    await settle();
    assert.equal(a.log.text, '123');
  });

  test('is closed when more comes than it keeps, and the others go on', async () => {
    const { client, accepted } = pair();
    const a = open(client);
    const b = open(client);
    await settle();
    accepted[0]?.channel.pause();
    const half = Buffer.alloc(UNREAD_BYTES_MAX / 2);
    a.channel.write([half]);
    a.channel.write([half]);
    await settle();
    assert.equal(accepted[0]?.log.closed, undefined);
    a.channel.write([Buffer.from('!')]);
    b.channel.write([Buffer.from('well')]);
    await settle();
    assert.equal(accepted[0]?.log.code, 'ERR_GODWIT_LIMIT_EXCEEDED');
    assert.equal(a.log.code, 'ECONNRESET');
    assert.equal(accepted[1]?.log.text, 'well');
  });
});

test('a write that fills the connection answers false, and is told when that has emptied', async () => {
  const { client, pipes } = pair();
  const a = open(client);
  const b = open(client);
  pipes[1].pause();
  assert.equal(a.channel.write([Buffer.alloc(300_000)]), false);
  assert.equal(b.channel.write([Buffer.alloc(5_000)]), false);
  assert.deepEqual([a.channel.bytesQueued, b.channel.bytesQueued], [300_000, 5_000]);
  await settle();
  assert.deepEqual([a.log.drains, b.log.drains], [0, 0]);
  pipes[1].resume();
  await settle();
  assert.deepEqual([a.log.drains, b.log.drains], [1, 1]);
  assert.deepEqual([a.channel.bytesQueued, b.channel.bytesQueued], [0, 0]);
});

describe('where the peer takes no more', () => {
  /** A connection that is full, a channel in which more was written, and another one. */
  async function full() {
    const ends = pair();
    const [blocking, waiting] = [open(ends.client), open(ends.client)];
    await settle();
    ends.pipes[1].pause();
    blocking.channel.write([Buffer.alloc(300_000)]);
    assert.equal(waiting.channel.write([Buffer.from('waits')]), false);
    return { ...ends, waiting };
  }

  test('what was written in a channel that ends still leaves, and then its end', async () => {
    const { waiting, accepted, pipes } = await full();
    waiting.channel.end();
    await settle();
    pipes[1].resume();
    await settle();
    assert.deepEqual([accepted[1]?.log.text, accepted[1]?.log.code], ['waits', 'ECONNRESET']);
  });

  test('it is dropped when that takes too long, and the channel ends all the same', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { waiting, accepted, pipes } = await full();
    waiting.channel.end();
    t.mock.timers.tick(END_TIMEOUT_MS);
    pipes[1].resume();
    await settle();
    assert.deepEqual([accepted[1]?.log.text, accepted[1]?.log.code], ['', 'ECONNRESET']);
  });

  test('one large write is not too much, however large', async () => {
    const { client, accepted } = pair();
    const { channel } = open(client);
    channel.write([Buffer.alloc(2 * QUEUED_BYTES_MAX)]);
    channel.end();
    await settle();
    assert.equal(accepted[0]?.log.text.length, 2 * QUEUED_BYTES_MAX);
    assert.equal(client.isOver, false);
  });

  test('a connection is closed whose peer takes nothing while channels begin and end', async () => {
    const { client, ends } = await full();
    // An Open and a Close each.
    const enough = QUEUED_BYTES_MAX / 16;
    for (let count = 0; count < enough; count += 1) {
      client.openChannel().end();
      if (count % 1_000 === 0) client.flushNow();
    }
    client.flushNow();
    assert.equal(client.isOver, false);
    for (let count = 0; count < 1_000; count += 1) client.openChannel().end();
    client.flushNow();
    assert.ok(client.isOver);
    assert.equal((ends.at(-1) as CarrierClosed).code, 'ERR_GODWIT_LIMIT_EXCEEDED');
  });
});

test('a channel that is refused is no reset, and nothing is left of it', async () => {
  const { client, server, ends } = pair({ onChannel: () => false });
  const a = open(client);
  await settle();
  assert.equal(a.log.closed, REFUSED);
  assert.equal(a.log.closed.reset, false);
  assert.deepEqual(ends, ['client is empty', 'refused']);
  assert.equal(server.size, 0);
});

test('what a handler throws is thrown apart, and the others get what is theirs', async () => {
  const { client, accepted } = pair();
  const a = open(client);
  const b = open(client);
  await settle();
  (accepted[0]?.log as Log).onData = () => {
    throw new Error('a bug of the application');
  };
  const thrown = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  a.channel.write([Buffer.from('a')]);
  b.channel.write([Buffer.from('b')]);
  await settle();
  process.setUncaughtExceptionCaptureCallback(null);
  assert.equal(((await thrown) as Error).message, 'a bug of the application');
  assert.equal(accepted[1]?.log.text, 'b');
});

test('handlers are called in the asynchronous context in which their channel was made', async () => {
  const { client, accepted } = pair();
  const context = new AsyncLocalStorage<string>();
  const seen: unknown[] = [];
  for (const name of ['first', 'second']) {
    context.run(name, () => {
      const { channel } = open(client);
      channel.start({
        onData: () => seen.push(context.getStore()),
        onDrain: () => undefined,
        onClose: () => seen.push(`${String(context.getStore())} closed`),
      });
    });
  }
  await settle();
  for (const { channel } of accepted) {
    channel.write([Buffer.from('x')]);
    channel.end();
  }
  await settle();
  assert.deepEqual(seen.sort(), ['first', 'first closed', 'second', 'second closed']);
});

test('a connection keeps the process alive as long as one of its channels does', () => {
  const { client, pipes } = pair();
  const references: string[] = [];
  const pipe: Carrier = pipes[0];
  pipe.ref = () => references.push('ref');
  pipe.unref = () => references.push('unref');
  const a = open(client);
  const b = open(client);
  a.channel.unref();
  a.channel.unref();
  b.channel.end();
  a.channel.ref();
  a.channel.destroy();
  assert.deepEqual(references, ['ref', 'unref', 'ref', 'unref']);
});

describe('a server hangs up on the connection of a client', () => {
  const wrong: Readonly<Record<string, readonly Uint8Array[]>> = {
    'that opens a channel again': [record(RecordType.Open, 1), record(RecordType.Open, 1)],
    'that opens a lower channel': [record(RecordType.Open, 2), record(RecordType.Open, 1)],
    'that sends for a channel which was not opened': [
      record(RecordType.Open, 1),
      record(RecordType.Bytes, 2, 'x'),
    ],
    'that ends a channel which was not opened': [record(RecordType.Close, 1)],
    'that refuses a channel': [record(RecordType.Open, 1), record(RecordType.Refused, 1)],
    'that sends what is no record': [record(RecordType.Open, 1), Buffer.from('GET / HTTP/1.1\r\n')],
  };
  for (const [what, records] of Object.entries(wrong)) {
    test(what, async () => {
      const { server, accepted, ends } = await receive(...records);
      assert.ok(server.isOver);
      assert.equal((ends[0] as CarrierClosed).code, 'ERR_GODWIT_PROTOCOL');
      for (const { log } of accepted) assert.equal(log.code, 'ERR_GODWIT_PROTOCOL');
    });
  }

  test('but not for the late words of a channel that is over', async () => {
    const { client, server, accepted } = pair();
    const a = open(client);
    open(client);
    await settle();
    accepted[0]?.channel.end();
    a.channel.write([Buffer.from('late words')]);
    a.channel.end();
    await settle();
    assert.equal(accepted[0]?.log.text, '');
    assert.deepEqual([server.size, server.isOver], [1, false]);
  });
});

test('a client hangs up on a server that opens a channel', async () => {
  const { client, pipes } = pair();
  const a = open(client);
  await settle();
  pipes[1].write([record(RecordType.Open, 2)]);
  await settle();
  assert.ok(client.isOver);
  assert.equal(a.log.code, 'ERR_GODWIT_PROTOCOL');
});
