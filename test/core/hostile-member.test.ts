/** A member of the cluster that breaks the rules: what it hands over is checked before anything is made of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ERROR_CODE,
  SESSION_ID_BYTES,
  WireCode,
  encodePeerFrame,
  type PeerFrame,
  type PeerFrameValue,
  type ServerAddress,
} from '../../packages/godwit/src/wire/index.ts';
import type { PeerProcess } from '../world/peer-network.ts';
import { Scenario } from '../world/scenario.ts';
import type { VirtualServer } from '../world/virtual-server.ts';
import type { World } from '../world/world.ts';

interface Lie {
  readonly name: string;
  readonly state: Partial<PeerFrameValue<'state'>>;
  /** Lengths of the STATE_CHUNKs behind it. */
  readonly pieces?: readonly number[];
  readonly code?: WireCode;
}

/** What peers see in the place of a server: it answers every PULL with its lie. */
class Liar implements PeerProcess {
  readonly address: ServerAddress;
  readonly isAlive = true;
  readonly isSilent = false;
  readonly heard: string[] = [];
  readonly #world: World;
  readonly #lie: Lie;

  constructor(world: World, name: string, lie: Lie) {
    this.#world = world;
    this.#lie = lie;
    this.address = { name, host: name, port: 1 };
    world.servers.set(name, this as unknown as VirtualServer);
  }

  handlePeerFrame(peer: ServerAddress, frame: PeerFrame): void {
    this.heard.push(frame.frame);
    if (frame.frame !== 'pull') return;
    const { requestId, sessionId } = frame;
    const send = (bytes: Uint8Array): void => this.#world.sendPeer(this, peer, bytes);
    send(encodePeerFrame('state', { ...NOTHING_YET, requestId, sessionId, ...this.#lie.state }));
    for (const length of this.#lie.pieces ?? [])
      send(encodePeerFrame('stateChunk', { requestId, bytes: new Uint8Array(length) }));
  }

  handlePeerLost(): void {
    this.heard.push('lost');
  }
}

/** The STATE of a session in which nothing was said. */
const NOTHING_YET: PeerFrameValue<'state'> = {
  requestId: 0,
  sessionId: new Uint8Array(SESSION_ID_BYTES),
  epoch: 1,
  k: 1,
  input: 0,
  output: 0,
  inputFinished: false,
  outputFinished: false,
  terminal: false,
  schema: 1,
  receivedFin: false,
  tailFrom: 0,
  bodyBytes: 0,
  logBytes: 0,
  tailBytes: 0,
};

const MAX = Number.MAX_SAFE_INTEGER;

const lies: readonly Lie[] = [
  { name: 'a FIN consumed before the first byte', state: { inputFinished: true } },
  { name: 'a FIN written before the first byte', state: { outputFinished: true } },
  { name: 'output up to the highest offset', state: { output: MAX, tailFrom: MAX } },
  { name: 'input up to the highest offset', state: { input: MAX } },
  { name: 'the highest snapshot number', state: { k: 2 ** 48 - 1 } },
  { name: 'a point of the epoch that is asked for', state: { epoch: 2 } },
  { name: 'a log behind a FIN consumed', state: { input: 1, inputFinished: true, logBytes: 3 } },
  { name: 'a tail behind the output', state: { tailFrom: 7 } },
  { name: 'a tail with a hole behind it', state: { output: 9 } },
  {
    name: 'a FIN received behind a FIN consumed',
    state: { input: 1, inputFinished: true, receivedFin: true },
  },
  { name: 'a session that is over without an end', state: { terminal: true } },
  {
    name: 'a session that is over with a state',
    state: { terminal: true, output: 1, outputFinished: true, bodyBytes: 9 },
  },
  { name: 'a state above the limit', state: { bodyBytes: 2 ** 31 }, code: WireCode.LimitExceeded },
  { name: 'more than it announced', state: { bodyBytes: 3 }, pieces: [4] },
  { name: 'a piece without a byte', state: { bodyBytes: 3 }, pieces: [2, 0] },
];

for (const lie of lies) {
  test(`an origin that hands over ${lie.name} is not believed, and the session goes on where it was`, () => {
    const scenario = new Scenario({ servers: ['a', 'b'], length: 5000 });
    const { world, client } = scenario;
    scenario.untilReceived(5000);
    const liar = new Liar(world, 'a', lie);
    client.do((session, now) => session.migrate(now, { to: { name: 'b', host: 'b', port: 1 }, cause: 4 }));
    world.run(50);
    const { events, node } = world.server('b');
    const refusals = events.flatMap((event) => (event.type === 'refused' ? [event.failure.code] : []));
    assert.deepEqual(refusals, [ERROR_CODE[lie.code ?? WireCode.Protocol]]);
    assert.deepEqual(liar.heard, ['pull', 'abort'], 'the origin is told that nothing comes of it');
    assert.equal(node.sessionCount, 0);
    client.write(new Uint8Array(100));
    scenario.untilReceived(5100);
  });
}

test('a state of another session, meant for a process that had the same name before, answers no PULL', () => {
  const scenario = new Scenario({ servers: ['a', 'b'], length: 5000 });
  const { world, client } = scenario;
  scenario.untilReceived(5000);
  const anothers = { sessionId: new Uint8Array(SESSION_ID_BYTES).fill(9) };
  const liar = new Liar(world, 'a', { name: 'of another session', state: anothers });
  client.do((session, now) => session.migrate(now, { to: { name: 'b', host: 'b', port: 1 }, cause: 4 }));
  world.run(2000);
  const { events } = world.server('b');
  const refusals = events.flatMap((event) => (event.type === 'refused' ? [event.failure.code] : []));
  assert.deepEqual(refusals, [ERROR_CODE[WireCode.OriginUnreachable]]);
  assert.equal(liar.heard[0], 'pull');
  client.write(new Uint8Array(100));
  scenario.untilReceived(5100);
});
