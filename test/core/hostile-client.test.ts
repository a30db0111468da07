/** A client that breaks the rules: the right code, its session alone, and nothing left over at the server (I8). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ATTACH_ID_BYTES,
  Delivery,
  MAX_OPEN_EPOCH,
  NONCE_BYTES,
  WireCode,
  type FrameValue,
  concatBytes,
  encodeFrame,
} from '../../packages/godwit/src/wire/index.ts';
import { DEFAULT_SERVER_LIMITS } from '../../packages/godwit/src/session/limits.ts';
import { assertNoLeaks } from '../world/leaks.ts';
import { RawClient } from '../world/raw-peers.ts';
import { Scenario } from '../world/scenario.ts';
import { fileApp, pattern, transformApp } from '../world/server-apps.ts';

interface Attack {
  readonly name: string;
  readonly code: number;
  readonly run: (peer: RawClient, scenario: Scenario) => void;
  /** The session is established first, and ends with RESET; otherwise REFUSE answers. */
  readonly within: boolean;
}

function migrate(peer: RawClient, change: Partial<FrameValue<'migrate'>> = {}): Record<string, unknown> {
  const head = peer.find('snapshot')?.bytes ?? new Uint8Array(200).fill(7);
  return {
    service: 'test',
    head,
    body: new Uint8Array(0),
    epoch: 2,
    attachId: new Uint8Array(ATTACH_ID_BYTES),
    received: 0,
    delivered: 0,
    newestEpoch: 1,
    newestK: 0,
    digestFrom: 0,
    digest: 0,
    retainedFrom: 0,
    origin: 'a',
    originEpoch: 1,
    originState: 0,
    cause: 0,
    budgetMs: 3000,
    credit: 65_536,
    retainLimitBytes: 65_536,
    maxBodyBytes: 65_536,
    ...change,
  };
}

function proofContext(peer: RawClient, server = 'a'): Uint8Array[] {
  return [new TextEncoder().encode(server), peer.find('challenge')?.nonce ?? new Uint8Array(NONCE_BYTES)];
}

const attacks: readonly Attack[] = [
  {
    name: 'DATA before OPEN',
    code: WireCode.Protocol,
    within: false,
    run: (peer) => peer.data(new Uint8Array(100)),
  },
  {
    name: 'ACK before OPEN',
    code: WireCode.Protocol,
    within: false,
    run: (peer) => peer.frame('ack', { received: 0, credit: 1 }),
  },
  {
    name: 'CONFIRM before anything',
    code: WireCode.Protocol,
    within: false,
    run: (peer) => void peer.maced('confirm', { epoch: 1 }, 'confirm'),
  },
  {
    name: 'a BODY that nobody asked for',
    code: WireCode.Protocol,
    within: false,
    run: (peer) => peer.frame('body', { epoch: 2, offset: 0, bytes: new Uint8Array(10) }),
  },
  {
    name: 'a frame of the server',
    code: WireCode.Protocol,
    within: false,
    run: (peer) =>
      peer.frame('challenge', { version: 1, nonce: new Uint8Array(NONCE_BYTES), serverName: 'x' }),
  },
  {
    name: 'an unknown critical frame',
    code: WireCode.Protocol,
    within: false,
    run: (peer) => peer.bytes(Uint8Array.of(0x7f, 0, 0, 0)),
  },
  {
    name: 'a frame above 4 KiB',
    code: WireCode.Protocol,
    within: false,
    run: (peer) => peer.bytes(Uint8Array.of(0x05, 0, 0x20, 0)),
  },
  {
    name: 'OPEN with a key share of low order',
    code: WireCode.Unauthenticated,
    within: false,
    run: (peer) => peer.open({ keyShare: new Uint8Array(32) }),
  },
  {
    name: 'OPEN of another service',
    code: WireCode.WrongService,
    within: false,
    run: (peer) => peer.open({ service: 'other' }),
  },
  {
    name: 'OPEN with epoch 0',
    code: WireCode.Protocol,
    within: false,
    run: (peer) => peer.open({ epoch: 0 }),
  },
  {
    name: 'OPEN with an epoch above the limit',
    code: WireCode.LimitExceeded,
    within: false,
    run: (peer) => peer.open({ epoch: MAX_OPEN_EPOCH + 1 }),
  },
  {
    name: 'OPEN with the highest epoch there is, behind which nothing could follow',
    code: WireCode.LimitExceeded,
    within: false,
    run: (peer) => peer.open({ epoch: 2 ** 48 - 1 }),
  },
  {
    name: 'OPEN with the id of an established session',
    code: WireCode.Unauthenticated,
    within: false,
    run: (peer, { client }) => peer.open({ sessionId: client.session.sessionId }),
  },
  {
    name: 'MIGRATE with a ticket of its own making',
    code: WireCode.UnknownKey,
    within: false,
    run: (peer) =>
      void peer.maced(
        'migrate',
        { ...migrate(peer), head: Uint8Array.from({ length: 200 }, (_, i) => (i === 0 ? 1 : 7)) },
        'migrate',
        { context: proofContext(peer) },
      ),
  },
  {
    name: 'MIGRATE with a ticket too short to be one',
    code: WireCode.TicketInvalid,
    within: false,
    run: (peer) => void peer.maced('migrate', migrate(peer, { head: new Uint8Array(5) }), 'migrate'),
  },
  {
    name: "MIGRATE of somebody else's session",
    code: WireCode.Unauthenticated,
    within: false,
    run: (peer, { client }) => {
      const head = new Uint8Array(200).fill(1);
      head.set(client.session.sessionId, 9);
      peer.maced('migrate', migrate(peer, { head }), 'migrate', { context: proofContext(peer) });
    },
  },
  {
    name: 'a STANDBY whose ticket is not sealed',
    code: WireCode.UnknownKey,
    within: false,
    run: (peer) =>
      void peer.maced(
        'standby',
        { service: 'test', head: Uint8Array.from({ length: 200 }, (_, i) => (i === 0 ? 1 : 7)) },
        'standby',
      ),
  },
  { name: 'a second OPEN', code: WireCode.Protocol, within: true, run: (peer) => peer.open() },
  {
    name: 'a STANDBY within a session',
    code: WireCode.Protocol,
    within: true,
    run: (peer) => void peer.maced('standby', { service: 'test', head: new Uint8Array(9) }, 'standby'),
  },
  {
    name: 'DATA above its credit',
    code: WireCode.LimitExceeded,
    within: true,
    run: (peer) => {
      for (let sent = 0; sent < 3 * DEFAULT_SERVER_LIMITS.receiveWindowBytes; sent += 60_000)
        peer.data(new Uint8Array(60_000));
    },
  },
  {
    name: 'DATA behind its FIN',
    code: WireCode.Protocol,
    within: true,
    run: (peer) => {
      peer.frame('fin', { offset: 0 });
      peer.data(new Uint8Array(1));
    },
  },
  {
    name: 'a FIN beyond its data',
    code: WireCode.Protocol,
    within: true,
    run: (peer) => peer.frame('fin', { offset: 9 }),
  },
  {
    name: 'FIN twice, at other offsets',
    code: WireCode.Protocol,
    within: true,
    run: (peer) => {
      peer.frame('fin', { offset: 0 });
      peer.frame('fin', { offset: 1 });
    },
  },
  {
    name: 'a RESET with a wrong MAC',
    code: WireCode.Unauthenticated,
    within: true,
    run: (peer) =>
      void peer.maced('reset', { epoch: 1, code: 18, message: '' }, 'reset-client', { forged: true }),
  },
  {
    name: 'a CLOSE with a wrong MAC',
    code: WireCode.Unauthenticated,
    within: true,
    run: (peer) => void peer.maced('close', { epoch: 1, final: 0 }, 'close-client', { forged: true }),
  },
  {
    name: "the server's own CLOSE sent back",
    code: WireCode.Unauthenticated,
    within: true,
    run: (peer) => void peer.maced('close', { epoch: 1, final: 0 }, 'close-server'),
  },
  {
    name: 'a CLOSE at another offset',
    code: WireCode.Protocol,
    within: true,
    run: (peer) => void peer.maced('close', { epoch: 1, final: 77 }, 'close-client'),
  },
  {
    name: 'a DETACH with a wrong MAC',
    code: WireCode.Unauthenticated,
    within: true,
    run: (peer) => void peer.maced('detach', { epoch: 2 }, 'detach', { forged: true }),
  },
  {
    name: 'an unknown critical frame within its session',
    code: WireCode.Protocol,
    within: true,
    run: (peer) => peer.bytes(Uint8Array.of(0x7f, 0, 0, 0)),
  },
  {
    name: 'a WATCH within a session',
    code: WireCode.Protocol,
    within: true,
    run: (peer) => peer.frame('watch', { add: [], remove: [] }),
  },
];

for (const attack of attacks) {
  test(`${attack.name}: that client alone pays`, () => {
    const scenario = new Scenario({ servers: ['a'] });
    const { world, client } = scenario;
    scenario.untilReceived(1000);
    world.run(1000);
    const before = world.server('a').node.population;
    const peer = new RawClient(world, 'a');
    if (attack.within) {
      peer.open();
      assert.ok(peer.find('support'), 'the session is open');
    }
    attack.run(peer, scenario);
    world.run(10);
    const answer = attack.within ? peer.find('reset') : peer.find('refuse');
    assert.equal(answer?.code, attack.code);
    assert.equal(peer.closed, true);
    world.run(11_000);
    const after = world.server('a').node.population;
    assert.deepEqual({ ...after, tombstones: 0 }, { ...before, tombstones: 0 });
    client.write(new Uint8Array(0));
    scenario.finishExactly();
  });
}

test('frames that are not critical and unknown are skipped, wherever they come', () => {
  const scenario = new Scenario({ servers: ['a'] });
  const peer = new RawClient(scenario.world, 'a');
  peer.bytes(Uint8Array.of(0x80, 0, 0, 2, 1, 2));
  peer.open();
  peer.bytes(Uint8Array.of(0xff, 0, 0, 1, 9));
  peer.data(Uint8Array.of(5));
  scenario.world.run(10);
  assert.ok(peer.frames.some(({ frame }) => frame === 'data'));
  peer.hangUp();
  scenario.finishExactly();
});

test('a carrier on which nothing comes is refused in time, and one of too many at once', () => {
  const scenario = new Scenario({ servers: ['a'], server: { limits: { maxUnauthenticatedCarriers: 3 } } });
  scenario.untilReceived(1);
  const peers = [1, 2, 3, 4].map(() => new RawClient(scenario.world, 'a'));
  assert.equal(peers[3]?.find('refuse')?.code, WireCode.Busy);
  scenario.world.run(10_010);
  assert.equal(peers[0]?.find('refuse')?.code, WireCode.Timeout);
  assert.ok(peers.every((peer) => peer.closed));
  scenario.finishExactly();
});

test('a forged MIGRATE on a carrier of its own leaves the session it names untouched (I8)', () => {
  const scenario = new Scenario({ servers: ['a', 'b'], length: 1000 });
  const { world, client } = scenario;
  scenario.untilReceived(1000);
  world.run(100);
  const frames = new Map(world.frames);
  for (const server of ['a', 'b']) {
    const head = new Uint8Array(200).fill(1);
    head.set(client.session.sessionId, 9);
    const peer = new RawClient(world, server);
    peer.maced('migrate', migrate(peer, { head, epoch: 99 }), 'migrate', {
      context: proofContext(peer, server),
    });
    world.run(10);
    assert.ok(peer.find('refuse'));
  }
  assert.equal(world.frames.get('pull'), frames.get('pull'), 'no other server was bothered');
  assert.equal(world.server('a').node.session(client.session.id)?.state, 'active');
  assert.equal(world.server('a').node.session(client.session.id)?.highestEpoch, 1);
  scenario.finishExactly();
});

test('a forged MIGRATE that is refused does not make a server forget what the ACCEPT it makes for the client needs (I8)', () => {
  const scenario = new Scenario({ servers: ['a'], length: 0, server: { cryptoDelayMs: () => 10 } });
  const { world } = scenario;
  const own = new RawClient(world, 'a');
  own.open();
  world.run(50);
  own.data(new Uint8Array(20_000));
  world.run(50);
  assert.ok(own.frames.some(({ frame }) => frame === 'data'));
  const head = own.find('snapshot')?.bytes as Uint8Array;
  const [resuming, forged] = [new RawClient(world, 'a'), new RawClient(world, 'a')];
  resuming.secret = own.secret;
  resuming.migrate({ head });
  world.run(6);
  forged.migrate({ head }, { forged: true });
  world.run(12);
  // ACCEPT is being made, and says that output goes on from 0.
  assert.ok(forged.find('refuse'));
  assert.equal(resuming.find('accept'), undefined);
  own.frame('ack', { received: 20_000, credit: 100_000 });
  world.run(20);
  assert.equal(resuming.find('accept')?.outputStart, 0);
  world.run(50);
  assert.ok(
    resuming.frames.some(({ frame }) => frame === 'data'),
    'output comes again',
  );
});

test('a MIGRATE that stops halfway, without its body, is forgotten with its carrier or in time', () => {
  const app = transformApp({ exports: 4096, stateBytes: 20_000 });
  for (const hangsUp of [true, false]) {
    const scenario = new Scenario({
      delivery: Delivery.Commit,
      app,
      servers: ['a', 'b'],
      client: { servers: ['a', 'b'], timers: { giveUpTimeoutMs: 500 } },
    });
    const { world, client } = scenario;
    scenario.untilReceived(20_000);
    world.onDial = (_, pipe) => {
      pipe.cutAfter[0] = hangsUp ? 2000 : Infinity;
      if (!hangsUp) {
        const sendParts = pipe.sendParts.bind(pipe);
        let sent = 0;
        pipe.sendParts = (end, parts) => {
          for (const part of parts) {
            if (end === 0) sent += part.byteLength;
            if (end !== 0 || sent < 4000) sendParts(end, [part]);
          }
        };
      }
    };
    scenario.origin.kill();
    world.until(() => client.closed !== undefined);
    assertNoLeaks(world, client);
  }
});

test('a confirm that is forged does not confirm, and the offer dies without a trace', () => {
  const scenario = new Scenario({ servers: ['a', 'b'] });
  const { world } = scenario;
  scenario.untilReceived(1);
  const peer = new RawClient(world, 'a');
  peer.open();
  world.run(10);
  const ticket = peer.find('snapshot');
  assert.ok(ticket);
  const second = new RawClient(world, 'b', peer.sessionId);
  second.secret = peer.secret;
  second.maced('migrate', migrate(peer, { head: ticket.bytes, originState: 1 }), 'migrate', {
    context: proofContext(second, 'b'),
  });
  world.run(10);
  assert.equal(second.find('accept')?.epoch, 2);
  second.maced('confirm', { epoch: 2 }, 'confirm', {
    forged: true,
  });
  world.run(10);
  assert.equal(second.find('reset')?.code, WireCode.Unauthenticated);
  assert.equal(world.server('b').node.tombstoneCount, 0);
  peer.hangUp();
  scenario.finishExactly();
});

test('the same epoch with another attach is refused', () => {
  const scenario = new Scenario({ servers: ['a', 'b'] });
  const { world } = scenario;
  const peer = new RawClient(world, 'a');
  peer.open();
  const ticket = peer.find('snapshot');
  assert.ok(ticket);
  const attempts = [1, 2].map((id) => {
    const attempt = new RawClient(world, 'b', peer.sessionId);
    attempt.secret = peer.secret;
    const value = migrate(peer, {
      head: ticket.bytes,
      originState: 1,
      attachId: new Uint8Array(ATTACH_ID_BYTES).fill(id),
    });
    attempt.maced('migrate', value, 'migrate', { context: proofContext(attempt, 'b') });
    world.run(10);
    return attempt;
  });
  assert.ok(attempts[0]?.find('accept'));
  assert.equal(attempts[1]?.find('refuse')?.code, WireCode.StaleEpoch);
  for (const attempt of [peer, ...attempts]) attempt.hangUp();
  scenario.finishExactly();
});

test('an attach that nobody confirms writes no ticket, and dies in time', () => {
  const app = fileApp({ length: 50_000, seed: 3, exports: 'pulled', commitEvery: 16_384 });
  const scenario = new Scenario({ delivery: Delivery.Commit, app, servers: ['a', 'b'], length: 0 });
  const { world } = scenario;
  const peer = new RawClient(world, 'a');
  peer.open();
  const ticket = peer.find('snapshot');
  assert.ok(ticket);
  const second = new RawClient(world, 'b', peer.sessionId);
  second.secret = peer.secret;
  second.maced('migrate', migrate(peer, { head: ticket.bytes, originState: 1 }), 'migrate', {
    context: proofContext(second, 'b'),
  });
  world.run(3000);
  assert.ok(second.find('accept'));
  assert.equal(second.find('snapshot'), undefined);
  assert.equal(second.find('support'), undefined);
  world.run(3000);
  assert.equal(second.closed, true);
  assert.equal(world.server('b').node.sessionCount, 0);
  assert.equal(world.server('b').node.tombstoneCount, 0);
  peer.hangUp();
  scenario.finish();
  scenario.assertExact(pattern(50_000, 3));
});

test('a RESET and a CLOSE of an earlier attach are void', () => {
  const scenario = new Scenario({ servers: ['a'], length: 1000 });
  const { world } = scenario;
  const peer = new RawClient(world, 'a');
  peer.open();
  const second = new RawClient(world, 'a', peer.sessionId);
  second.secret = peer.secret;
  second.migrate({ head: peer.find('snapshot')?.bytes ?? new Uint8Array() });
  world.run(10);
  assert.ok(second.find('accept'));
  second.maced('reset', { epoch: 1, code: WireCode.Reset, message: '' }, 'reset-client');
  second.maced('close', { epoch: 1, final: 0 }, 'close-client');
  world.run(10);
  assert.equal(second.closed, false);
  second.maced('reset', { epoch: 2, code: WireCode.Reset, message: '' }, 'reset-client');
  world.run(10);
  assert.ok(second.find('resetAck'));
  scenario.finishExactly();
});

test('an in-band MIGRATE that names another origin leaves nothing of its carrier behind', () => {
  const scenario = new Scenario({ servers: ['a'] });
  const { world } = scenario;
  scenario.untilReceived(1);
  const peer = new RawClient(world, 'a');
  peer.open();
  world.run(5);
  peer.migrate({ origin: 'elsewhere' });
  world.run(10);
  assert.equal(peer.closed, true);
  scenario.finishExactly();
});

test('a true ticket of another session of that id, on the carrier of one that nobody answered for, ends with that carrier', () => {
  for (const originState of [0, 1]) {
    const scenario = new Scenario({ servers: ['a', 'b'] });
    const { world } = scenario;
    const own = new RawClient(world, 'a');
    own.open({ epoch: 2 });
    world.run(10);
    own.frame('ack', { received: 0, credit: 1_000_000 });
    world.run(10);
    const rival = new RawClient(world, 'b', own.sessionId);
    rival.open({ epoch: 1 });
    world.run(10);
    assert.ok(rival.find('support'));
    rival.secret = own.secret;
    const head = own.find('snapshot')?.bytes as Uint8Array;
    rival.migrate({ head, epoch: 3, newestEpoch: 2, originEpoch: 2, originState });
    world.run(10_000);
    assert.equal(rival.closed, true);
    const { attaches, sessions } = world.server('b').node.population;
    assert.deepEqual({ attaches, sessions }, { attaches: 0, sessions: 0 });
    const id = Buffer.from(own.sessionId).toString('hex');
    assert.equal(world.server('a').node.session(id)?.state, 'active', 'the true one was left in peace');
  }
});

test('a BODY without a byte is refused: a server keeps the pieces until the last', () => {
  const app = transformApp({ exports: 4096, stateBytes: 20_000 });
  const scenario = new Scenario({ servers: ['a', 'b'], app, delivery: Delivery.Commit });
  const { world } = scenario;
  scenario.untilReceived(1);
  const peer = new RawClient(world, 'a');
  peer.open();
  peer.data(new Uint8Array(5000));
  world.run(50);
  const first = peer.frames.find((frame) => frame.frame === 'snapshot' && frame.k > 0);
  assert.ok(first?.frame === 'snapshot' && first.totalBytes > 16_384);
  const second = new RawClient(world, 'b', peer.sessionId);
  second.secret = peer.secret;
  const { output, k, headBytes, bytes } = first;
  second.migrate({ head: bytes.subarray(0, headBytes), received: output, newestK: k, originState: 1 });
  world.run(5);
  assert.ok(second.find('needBody'));
  second.frame('body', { epoch: 2, offset: 0, bytes: bytes.subarray(headBytes) });
  second.frame('body', { epoch: 2, offset: bytes.byteLength - headBytes, bytes: new Uint8Array(0) });
  world.run(5);
  assert.equal(second.find('refuse')?.code, WireCode.Protocol);
  peer.hangUp();
  scenario.finishExactly();
});

test('a server that has all the sessions it takes restores none either', () => {
  const scenario = new Scenario({ servers: ['a', 'b'], server: { limits: { maxSessions: 1 } } });
  const { world, client } = scenario;
  const peer = new RawClient(world, 'b');
  peer.open();
  assert.ok(peer.find('support'));
  scenario.untilReceived(1);
  scenario.trigger('b');
  world.until(() => client.events.some(({ type }) => type === 'migrationFailed'));
  const failed = client.events.find((event) => event.type === 'migrationFailed');
  assert.equal(failed?.failure.code, 'ERR_GODWIT_BUSY');
  assert.equal(world.server('b').node.sessionCount, 1);
  peer.hangUp();
  scenario.finishExactly();
});

test('who takes the answers may ask as often as he likes', () => {
  const scenario = new Scenario({ length: 1000 });
  scenario.untilReceived(1000);
  const peer = new RawClient(scenario.world, 'a');
  peer.open();
  const pings = Array.from({ length: 600 }, (_, token) => encodeFrame('ping', { token }));
  peer.bytes(concatBytes(pings));
  scenario.world.run(10);
  assert.equal(peer.frames.filter((frame) => frame.frame === 'pong').length, 600);
  assert.equal(peer.find('reset'), undefined);
  peer.hangUp();
  scenario.finishExactly();
});
