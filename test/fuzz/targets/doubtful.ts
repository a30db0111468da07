/** A client of honest servers that also knows of one which has not the cluster's key: that one may cost time, nothing else. */
import { KeyRing } from '../../../packages/godwit/src/crypto/index.ts';
import { TicketSealing } from '../../../packages/godwit/src/crypto/ticket-sealing.ts';
import { Delivery } from '../../../packages/godwit/src/wire/index.ts';
import { WORLD_CLOCK } from '../../world/clock.ts';
import { pattern, transformApp, transformed } from '../../world/server-apps.ts';
import type { VirtualClient } from '../../world/virtual-client.ts';
import { World } from '../../world/world.ts';
import type { Step } from '../engine/script.ts';
import { hold, type ScriptTarget } from '../engine/target.ts';
import { ARENA_LIMITS, ARENA_TIMERS } from './arena.ts';
import { SERVER_FRAMES } from './attacker.ts';
import { Directives } from './directives.ts';
import { Habit, Impostor } from './impostor.ts';
import { opened } from './opened.ts';
import { describe, difference } from './state.ts';

const INPUT_BYTES = 2000;

/** Longer than it takes to be served when the doubtful server has used all its time, in ms. */
const SERVED_MS = 20_000;

/** The application has exported, and the client acknowledged. */
const QUIET_MS = 1500;

export const doubtful: ScriptTarget = {
  kind: 'script',
  name: 'doubtful',
  summary:
    'a server without the key among those a client knows: as the first to open at, or as a place to move to',
  operations: ['frame', 'frame', 'frame', 'data', 'ticket', 'raw', 'hangUp', 'wait', 'wait', 'move', 'setup'],
  seeds: () => {
    const setups = [
      [],
      [step('setup', 1)],
      [step('setup', 0, 1)],
      [step('setup', 1, 1)],
      [step('setup', 0, 0, 1)],
    ];
    const scripts: Step[][] = [
      [],
      [step('ticket', 0, 0, 100, 0, 0), wait(20), frame('support'), wait(20)],
      ...SERVER_FRAMES.map((name) => [wait(8), frame(name), wait(20)]),
      ...SERVER_FRAMES.map((name) => [step('move'), wait(8), frame(name), wait(20)]),
      [wait(8), frame('snapshot'), wait(4), frame('refuse', 0, 5, 10), wait(30)],
      [
        step('move'),
        wait(8),
        frame('progress'),
        frame('progress'),
        wait(200),
        frame('needBody'),
        wait(20),
        frame('refuse'),
      ],
      [step('move'), wait(8), step('hangUp', 0), wait(9)],
    ];
    return [
      ...scripts,
      ...setups.flatMap((setup) => scripts.slice(1, 6).map((script) => [...setup, ...script])),
    ];
  },
  run: (script) => {
    const setup = new Directives(script.find(({ op }) => op === 'setup')?.bytes ?? new Uint8Array(0));
    const delivery = setup.u8() === 1 ? Delivery.Commit : Delivery.Replay;
    const isSlow = setup.u8() === 1;
    const ring = new KeyRing(new Uint8Array(32).fill(1));
    const world = new World({ seed: 1, ring });
    const server = new Impostor(world, 'x', undefined, delivery);
    server.habits = setup.u8() === 1 ? 0 : Habit.Challenge | Habit.Pong;
    world.addServers(['a', 'b'], {
      delivery,
      app: transformApp({ exports: delivery === Delivery.Commit ? 256 : 'pulled' }),
      limits: ARENA_LIMITS,
      timers: ARENA_TIMERS,
    });
    const moves = script.some(({ op }) => op === 'move');
    const client = world.connect({
      servers: moves ? ['a'] : ['x', 'a'],
      timers: { attachTimeoutMs: 300, giveUpTimeoutMs: 3000, detectIntervalMs: 500 },
      ...(isSlow && { cryptoDelayMs: () => 3 }),
    });
    const input = pattern(INPUT_BYTES, 7);
    client.write(input.subarray(0, INPUT_BYTES / 2));
    if (moves) until(world, () => client.receivedBytes === INPUT_BYTES / 2);
    world.run(moves ? QUIET_MS : 0);
    const before = stateOf(client);
    for (const { op, bytes } of script) act(world, server, client, op, new Directives(bytes));
    server.kill();
    // Whoever is asked first may refuse for all.
    if (!moves && client.closed) return;
    until(world, () => client.receivedBytes === INPUT_BYTES / 2);
    world.run(QUIET_MS);
    if (moves) {
      const after = stateOf(client);
      hold('strangers change nothing', before === after, () => difference(before, after));
    }
    assertTrueTicket(client, ring, world);
    client.write(input.subarray(INPUT_BYTES / 2));
    world.run(5);
    world.serving(client).kill();
    client.end();
    until(world, () => client.closed !== undefined);
    hold('others unharmed', client.closed?.failure === undefined, () =>
      JSON.stringify(client.closed?.failure),
    );
    const isExact = Buffer.from(client.received).equals(Buffer.from(transformed(input, 0)));
    hold('others unharmed', isExact && client.ended, () => 'the output is not exact');
  },
};

interface OpenedClient {
  readonly $core: {
    readonly secret: unknown;
    readonly servers: unknown;
    readonly streams: {
      $delivery: unknown;
      $protected: unknown;
      tickets: { held: { head: Uint8Array } | undefined };
    };
  };
  readonly $triggers: { readonly $keys: unknown };
}

/** What of a session only its servers may change. */
function stateOf({ session }: VirtualClient): string {
  const { $core, $triggers } = opened<OpenedClient>(session);
  const { $delivery, $protected } = $core.streams;
  return describe([$core.secret, $core.servers, $triggers.$keys, $delivery, $protected], new Set());
}

/** What a client holds as its ticket was sealed with the cluster's key. */
function assertTrueTicket({ session }: VirtualClient, ring: KeyRing, world: World): void {
  const { held } = opened<OpenedClient>(session).$core.streams.tickets;
  const sealing = new TicketSealing({ ring, wallClock: () => WORLD_CLOCK.wall(world.now) });
  const isTrue = held !== undefined && 'head' in sealing.open(held.head);
  hold('authentic', isTrue, () => 'the client holds a ticket that no server of the cluster has sealed');
}

function until(world: World, condition: () => boolean): void {
  const end = world.now + SERVED_MS;
  while (!condition() && world.now < end) world.run(50);
  hold('others unharmed', condition(), () => `the client is not served\n${world.story()}`);
}

function act(
  world: World,
  server: Impostor,
  client: VirtualClient,
  op: string,
  directives: Directives,
): void {
  if (op === 'wait') {
    world.run(directives.u8());
    return;
  }
  if (op === 'move') {
    client.do((session, now) => session.migrate(now, { to: { name: 'x', host: 'x', port: 1 }, cause: 4 }));
    world.run(4);
    return;
  }
  world.run(1);
  const line = server.line(directives);
  if (!line) return;
  switch (op) {
    case 'frame':
      server.frame(line, directives.pick(SERVER_FRAMES), directives);
      return;
    case 'data':
      server.data(line, directives);
      return;
    case 'ticket':
      server.ticket(line, directives);
      return;
    case 'raw':
      server.bytes(line, directives.rest());
      return;
    case 'hangUp':
      server.hangUp(line);
      return;
    default:
  }
}

function step(op: string, ...bytes: number[]): Step {
  return { op, bytes: Uint8Array.from(bytes) };
}

function wait(ms: number): Step {
  return step('wait', ms);
}

function frame(name: string, ...directives: number[]): Step {
  return step('frame', 0, SERVER_FRAMES.indexOf(name as never), ...directives);
}
