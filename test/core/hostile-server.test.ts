/** A server that breaks the rules: the client ends that session with the right code, or leaves that carrier. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_CLIENT_LIMITS } from '../../packages/godwit/src/session/limits.ts';
import { Delivery, NONCE_BYTES, WireCode, type FrameValue } from '../../packages/godwit/src/wire/index.ts';
import { RawServer } from '../world/raw-peers.ts';
import type { VirtualClient } from '../world/virtual-client.ts';
import { World } from '../world/world.ts';

interface Attached {
  readonly world: World;
  readonly client: VirtualClient;
  readonly server: RawServer;
  readonly peer: NonNullable<RawServer['peer']>;
}

function attach(): Attached {
  const world = new World();
  const server = new RawServer(world, 'a');
  const client = world.connect({ servers: ['a'], timers: { giveUpSingleServerMs: 300 } });
  world.until(() => client.session.state === 'attached');
  const { peer } = server;
  assert.ok(peer);
  return { world, client, server, peer };
}

const snapshot = (change: Partial<FrameValue<'snapshot'>>): FrameValue<'snapshot'> => ({
  epoch: 1,
  k: 1,
  input: 0,
  output: 0,
  headBytes: 10,
  totalBytes: 10,
  offset: 0,
  bytes: new Uint8Array(10),
  ...change,
});

interface Attack {
  readonly name: string;
  readonly code: string;
  readonly run: (attached: Attached) => void;
}

const attacks: readonly Attack[] = [
  {
    name: 'DATA above the credit',
    code: 'ERR_GODWIT_LIMIT_EXCEEDED',
    run: ({ peer, client }) => {
      client.autoRead = false;
      for (let sent = 0; sent < 1.1 * DEFAULT_CLIENT_LIMITS.receiveWindowBytes; sent += 60_000)
        peer.data(new Uint8Array(60_000));
    },
  },
  {
    name: 'a FIN beyond the data',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => peer.frame('fin', { offset: 5 }),
  },
  {
    name: 'DATA behind the FIN',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => {
      peer.frame('fin', { offset: 0 });
      peer.data(new Uint8Array(1));
    },
  },
  {
    name: 'a ticket for output that was not sent',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => peer.frame('snapshot', snapshot({ output: 7 })),
  },
  {
    name: 'a ticket for input that was not sent',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => peer.frame('snapshot', snapshot({ input: 7 })),
  },
  {
    name: 'a ticket over the limit',
    code: 'ERR_GODWIT_LIMIT_EXCEEDED',
    run: ({ peer }) => peer.frame('snapshot', snapshot({ totalBytes: 20_000_000 })),
  },
  {
    name: 'a ticket that begins in its middle',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => peer.frame('snapshot', snapshot({ totalBytes: 100, offset: 50 })),
  },
  {
    name: 'a ticket longer than it said',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => {
      peer.frame('snapshot', snapshot({ totalBytes: 15 }));
      peer.frame('snapshot', snapshot({ totalBytes: 15, offset: 10 }));
    },
  },
  {
    name: 'a ticket whose head is longer than the whole',
    code: 'ERR_GODWIT_LIMIT_EXCEEDED',
    run: ({ peer }) => peer.frame('snapshot', snapshot({ headBytes: 11 })),
  },
  {
    name: 'a ticket whose head fits into no MIGRATE',
    code: 'ERR_GODWIT_LIMIT_EXCEEDED',
    run: ({ peer }) =>
      peer.frame('snapshot', snapshot({ headBytes: 513, totalBytes: 513, bytes: new Uint8Array(513) })),
  },
  {
    name: 'a piece of a ticket without a byte',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => {
      peer.frame('snapshot', snapshot({ totalBytes: 15 }));
      peer.frame('snapshot', snapshot({ totalBytes: 15, offset: 10, bytes: new Uint8Array(0) }));
    },
  },
  {
    name: 'a second CHALLENGE',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) =>
      peer.frame('challenge', { version: 1, nonce: new Uint8Array(NONCE_BYTES), serverName: 'z' }),
  },
  {
    name: 'an unknown critical frame',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => peer.bytes(Uint8Array.of(0x7e, 0, 0, 0)),
  },
  {
    name: 'a frame of the client',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => peer.frame('body', { epoch: 1, offset: 0, bytes: new Uint8Array(1) }),
  },
  {
    name: 'a SUPPORT with a wrong MAC',
    code: 'ERR_GODWIT_UNAUTHENTICATED',
    run: ({ peer }) =>
      void peer.maced(
        'support',
        {
          epoch: 1,
          delivery: 0,
          keyShare: new Uint8Array(0),
          nonce: new Uint8Array(0),
          triggerKeyId: new Uint8Array(8),
          triggerKey: new Uint8Array(32),
          otherTriggerKeyId: new Uint8Array(0),
          credit: 0,
          servers: [],
        },
        'support',
        { forged: true },
      ),
  },
  {
    name: 'a RESET with a wrong MAC',
    code: 'ERR_GODWIT_UNAUTHENTICATED',
    run: ({ peer }) =>
      void peer.maced('reset', { epoch: 1, code: 18, message: '' }, 'reset-server', { forged: true }),
  },
  {
    name: 'a CLOSE with a wrong MAC',
    code: 'ERR_GODWIT_UNAUTHENTICATED',
    run: ({ peer }) => void peer.maced('close', { epoch: 1, final: 0 }, 'close-server', { forged: true }),
  },
  {
    name: 'a CLOSE beyond the data',
    code: 'ERR_GODWIT_PROTOCOL',
    run: ({ peer }) => void peer.maced('close', { epoch: 1, final: 9 }, 'close-server'),
  },
  {
    name: 'a DETACHED with a wrong MAC',
    code: 'ERR_GODWIT_UNAUTHENTICATED',
    run: ({ peer }) => void peer.maced('detached', { epoch: 1 }, 'detached', { forged: true }),
  },
  {
    name: 'a FROZEN with a wrong MAC',
    code: 'ERR_GODWIT_UNAUTHENTICATED',
    run: ({ peer }) => void peer.maced('frozen', { epoch: 1 }, 'frozen', { forged: true }),
  },
];

for (const attack of attacks) {
  test(`${attack.name}: the client ends the session with ${attack.code}`, () => {
    const attached = attach();
    attack.run(attached);
    attached.world.run(20);
    assert.equal(attached.client.closed?.failure?.code, attack.code);
    const reset = attached.peer.find('reset');
    assert.ok(reset && reset.code !== WireCode.None, 'the server is told why');
    attached.world.run(1000);
    assert.equal(attached.client.openCarriers, 0);
    assert.equal(attached.client.session.pollTimeout(), undefined);
  });
}

test('an ACCEPT nobody asked for, and a DETACHED and a PONG nobody waits for, change nothing', () => {
  const { world, client, peer } = attach();
  const accept = {
    epoch: 9,
    source: 1,
    restartEpoch: 9,
    restartK: 9,
    restartOutput: 0,
    inputStart: 0,
    outputStart: 0,
    credit: 0,
  };
  peer.maced('accept', accept, 'accept');
  peer.maced('detached', { epoch: 1 }, 'detached');
  peer.frame('pong', { token: 77 });
  peer.frame('refuse', { epoch: 0, code: 4, tryElsewhere: false, message: '' });
  world.run(50);
  assert.equal(client.session.state, 'attached');
  assert.equal(client.session.epoch, 1);
});

test('a TRIGGER that is forged, of another epoch, or replayed moves nothing', () => {
  const { world, client, peer } = attach();
  const trigger = {
    sessionId: client.session.sessionId,
    epoch: 1,
    counter: 5,
    reason: 0,
    from: 'a',
    name: 'b',
    host: 'b',
    port: 1,
  };
  peer.maced('trigger', trigger, 'trigger'); // the session secret is not the trigger key
  peer.maced('trigger', { ...trigger, epoch: 2 }, 'trigger');
  world.run(50);
  assert.equal(client.session.state, 'attached');
  assert.equal(client.events.filter((event) => event.type === 'migrating').length, 0);
});

test('a server that accepts with a restart point that makes no sense is asked a few times, and no more', () => {
  const world = new World();
  const server = new RawServer(world, 'a');
  const other = new RawServer(world, 'b');
  const client = world.connect({ servers: ['a'] });
  world.until(() => client.session.state === 'attached');
  assert.ok(server.peer);
  client.write(new Uint8Array(100));
  server.peer.data(new Uint8Array(50));
  world.run(10);
  client.do((session, now) => session.migrate(now, { to: { name: 'b', host: 'b', port: 1 }, cause: 4 }));
  const answered = new Set<unknown>();
  for (let i = 0; i < 400; i += 1) {
    world.run(1);
    for (const carrier of other.carriers) {
      const migrate = carrier.find('migrate');
      if (!migrate || answered.has(carrier)) continue;
      answered.add(carrier);
      carrier.secret = server.peer.secret;
      carrier.maced(
        'accept',
        {
          epoch: migrate.epoch,
          source: 1,
          restartEpoch: 1,
          restartK: 0,
          restartOutput: 0,
          inputStart: 900,
          outputStart: 0,
          credit: 0,
        },
        'accept',
        { context: [migrate.attachId] },
      );
    }
  }
  assert.ok(answered.size >= 1 && answered.size <= 5, `${answered.size} times`);
  assert.equal(client.events.filter((event) => event.type === 'migrationFailed').length, 1);
  assert.equal(client.session.serverName, 'a');
});

test('a server whose proof is wrong is not opened, and one without a proof is given up in time', () => {
  for (const wrong of ['mac', 'silence'] as const) {
    const world = new World();
    const server = new RawServer(world, 'a');
    const client = world.connect({ servers: ['a'], timers: { attachTimeoutMs: 500 } });
    world.run(2);
    if (wrong === 'silence') for (const pipe of world.pipes) pipe.blackhole[1] = true;
    else {
      const original = server.carriers[0];
      assert.ok(original);
      const { maced } = original;
      original.maced = (name, value, label, options) =>
        maced.call(original, name, value, label, { ...options, forged: true });
    }
    world.until(() => client.closed !== undefined, 2000);
    assert.equal(client.closed?.failure?.code, wrong === 'mac' ? 'ERR_GODWIT_UNAUTHENTICATED' : 'ETIMEDOUT');
  }
});

test('a server that answers OPEN with a SUPPORT or ticket 0 of another epoch is not opened', () => {
  for (const answer of [{ supportEpoch: 2 }, { ticketEpoch: 2 }, { ticketEpoch: 0 }]) {
    const world = new World();
    const server = new RawServer(world, 'a');
    server.answer = answer;
    const client = world.connect({ servers: ['a'] });
    world.until(() => client.closed !== undefined, 2000);
    assert.equal(client.closed?.failure?.code, 'ERR_GODWIT_PROTOCOL');
  }
});

test('a ticket older than the one held is not taken', () => {
  const { world, client, peer } = attach();
  const acknowledged = (): (readonly number[])[] =>
    peer.frames.flatMap((frame) => (frame.frame === 'snapshotAck' ? [[frame.epoch, frame.k]] : []));
  peer.frame('snapshot', snapshot({ k: 5 }));
  peer.frame('snapshot', snapshot({ k: 4 }));
  peer.frame('snapshot', snapshot({ k: 5, bytes: new Uint8Array(10).fill(9) })); // sealed again
  world.run(20);
  assert.deepEqual(acknowledged(), [
    [1, 5],
    [1, 5],
  ]);
  assert.equal(client.session.state, 'attached');
});

test('a second CHALLENGE is an error before SUPPORT, too', () => {
  const world = new World();
  const server = new RawServer(world, 'a');
  const client = world.connect({ servers: ['a'] });
  world.until(() => server.carriers.length > 0);
  const [carrier] = server.carriers;
  carrier?.frame('challenge', { version: 1, nonce: new Uint8Array(NONCE_BYTES), serverName: 'a' });
  world.until(() => client.closed !== undefined, 2000);
  assert.equal(client.closed?.failure?.code, 'ERR_GODWIT_PROTOCOL');
});

test('a server that goes on in another version is not opened', () => {
  const world = new World();
  const server = new RawServer(world, 'a');
  server.answer = { version: 2 };
  const client = world.connect({ servers: ['a'] });
  world.until(() => client.closed !== undefined, 2000);
  assert.equal(client.closed?.failure?.code, 'ERR_GODWIT_VERSION');
});

test('a FROZEN of an attach that is over takes nothing back, and a DETACHED of an earlier DETACH is not an answer', () => {
  const { world, client, peer } = attach();
  peer.maced('frozen', { epoch: 1 }, 'frozen');
  world.run(20);
  assert.equal(peer.find('migrate'), undefined);
  const other = new RawServer(world, 'b');
  client.do((session, now) => session.migrate(now, { to: { name: 'b', host: 'b', port: 1 }, cause: 4 }));
  world.until(() => other.peer?.find('migrate') !== undefined);
  other.peer?.frame('refuse', {
    epoch: other.peer.find('migrate')?.epoch ?? 0,
    code: WireCode.OriginUnreachable,
    tryElsewhere: true,
    message: '',
  });
  world.until(() => peer.find('detach') !== undefined);
  const epoch = peer.find('detach')?.epoch ?? 0;
  peer.maced('detached', { epoch: epoch - 1 }, 'detached');
  world.run(20);
  assert.equal(other.carriers.length, 1, 'it still waits');
  peer.maced('detached', { epoch }, 'detached');
  world.run(20);
  assert.equal(other.carriers.length, 2, 'and goes on with the one ticket it has');
});

test('a RESET and a CLOSE of an earlier attach end nothing at the client', () => {
  const { world, client, peer } = attach();
  peer.maced('reset', { epoch: 0, code: WireCode.Reset, message: '' }, 'reset-server');
  peer.maced('close', { epoch: 0, final: 0 }, 'close-server');
  world.run(20);
  assert.equal(client.session.state, 'attached');
});

test('a server that accepts with a hole between the restart point and its output is asked again, and left', () => {
  const world = new World();
  const server = new RawServer(world, 'a');
  const other = new RawServer(world, 'b');
  server.answer = { delivery: Delivery.Commit };
  const client = world.connect({ servers: ['a'] });
  world.until(() => client.session.state === 'attached');
  assert.ok(server.peer);
  server.peer.data(new Uint8Array(50)); // staged: no ticket covers it
  world.run(10);
  client.do((session, now) => session.migrate(now, { to: { name: 'b', host: 'b', port: 1 }, cause: 4 }));
  const answered = new Set<unknown>();
  for (let i = 0; i < 400; i += 1) {
    world.run(1);
    for (const carrier of other.carriers) {
      const migrate = carrier.find('migrate');
      if (!migrate || answered.has(carrier)) continue;
      answered.add(carrier);
      carrier.secret = server.peer.secret;
      const { epoch, attachId } = migrate;
      const restart = { restartEpoch: 1, restartK: 0, restartInput: 0, restartOutput: 0 };
      carrier.maced(
        'accept',
        { epoch, attachId, source: 2, ...restart, inputStart: 0, outputStart: 50, credit: 0, delivery: 1 },
        'accept',
        { context: [attachId] },
      );
    }
  }
  assert.ok(answered.size >= 1 && answered.size <= 5, `${answered.size} times`);
  assert.equal(client.events.filter((event) => event.type === 'migrationFailed').length, 1);
  assert.equal(client.session.serverName, 'a');
  assert.equal(client.openCarriers, 1, 'the session has its carrier');
});

test('a server that answers OPEN with a ticket for what was not sent yet is not opened', () => {
  const world = new World();
  const server = new RawServer(world, 'a');
  server.answer = { ticketOutput: 9 };
  const client = world.connect({ servers: ['a'], timers: { attachTimeoutMs: 500 } });
  world.until(() => client.closed !== undefined, 2000);
  assert.equal(client.closed?.failure?.code, 'ERR_GODWIT_PROTOCOL');
});
