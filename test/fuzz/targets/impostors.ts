/** Servers that say what they like to a client whose session they have, and the session's secret with it. */
import { Delivery } from '../../../packages/godwit/src/wire/index.ts';
import type { ClientLimits, ClientTimers } from '../../../packages/godwit/src/session/index.ts';
import type { VirtualClient } from '../../world/virtual-client.ts';
import { World } from '../../world/world.ts';
import type { Step } from '../engine/script.ts';
import { hold, type ScriptTarget } from '../engine/target.ts';
import { SERVER_FRAMES } from './attacker.ts';
import { Directives } from './directives.ts';
import { Habit, Impostor } from './impostor.ts';
import { opened } from './opened.ts';
import { retainedBytes } from './state.ts';

const LIMITS: Partial<ClientLimits> = {
  receiveWindowBytes: 65_536,
  retainLimitBytes: 65_536,
  sendBufferBytes: 16_384,
  maxBodyBytes: 8192,
  digestWindowBytes: 16_384,
};

const TIMERS: Partial<ClientTimers> = {
  attachTimeoutMs: 300,
  detachTimeoutMs: 100,
  giveUpTimeoutMs: 1000,
  giveUpSingleServerMs: 600,
  lingerMs: 400,
};

/** After so long without servers, a client has given up, in ms. */
const GIVEN_UP_MS = 10_000;

const ALL_HABITS = Object.values(Habit).reduce((sum, habit) => sum + habit, 0);

export const impostors: ScriptTarget = {
  kind: 'script',
  name: 'impostors',
  summary: 'frames with true proofs and false fields, from two servers that have its session, to a client',
  operations: [
    'frame',
    'frame',
    'frame',
    'frame',
    'data',
    'crumbs',
    'ticket',
    'raw',
    'hangUp',
    'wait',
    'wait',
    'client',
    'client',
    'habits',
    'setup',
  ],
  seeds: () => {
    const talk = [
      step('client', 0, 8),
      wait(10),
      step('data', 0, 2, 0),
      wait(10),
      frame('snapshot'),
      wait(10),
    ];
    const move = [step('client', 4, 1), wait(20)];
    const end = [frame('fin'), step('client', 1), wait(20), frame('close'), wait(10)];
    const habitsWithout = (habit: number): Step => step('habits', ALL_HABITS & ~habit);
    const all: Step[][] = [
      [...talk, ...end],
      ...SERVER_FRAMES.map((name) => [...talk, frame(name), wait(20)]),
      ...SERVER_FRAMES.map((name) => [habitsWithout(Habit.Support), wait(5), frame(name), wait(20)]),
      ...SERVER_FRAMES.map((name) => [...talk, habitsWithout(Habit.Accept), ...move, frame(name), wait(20)]),
      [...talk, ...move, ...talk, ...end],
      [
        ...talk,
        habitsWithout(Habit.Accept),
        ...move,
        frame('refuse', 0, 5, 10),
        wait(9),
        step('frame', 1, 0, SERVER_FRAMES.indexOf('detached')),
        wait(99),
      ],
      [...talk, step('hangUp', 0), wait(60), ...talk],
      [...talk, frame('frozen'), wait(20), ...talk],
      [...talk, step('client', 5), step('crumbs', 0, 2, 0), wait(20), step('client', 6), wait(20)],
      [...talk, step('ticket', 0, 0, 1, 0, 8, 0), wait(9), ...move, ...talk],
      [...talk, step('ticket', 0, 0, 0, 90, 1, 0, 0, 40, 9), wait(9), ...move],
      [...talk, step('ticket', 0, 0, 2, 12, 0, 0), wait(9), ...move],
      [step('client', 2), wait(10)],
      [step('client', 0, 9), step('client', 2), wait(10)],
      [...talk, step('client', 3), wait(10)],
    ];
    return [
      ...all,
      [step('setup', 1), ...talk, frame('unprotected'), wait(9), ...move, ...end],
      [step('setup', 0, 1), ...talk, ...move, ...end],
    ];
  },
  run: (script) => {
    const setup = new Directives(script.find(({ op }) => op === 'setup')?.bytes ?? new Uint8Array(0));
    const world = new World({ seed: 1 });
    const delivery = setup.u8() === 1 ? Delivery.Commit : Delivery.Replay;
    const secrets = new Map<string, Uint8Array>();
    const servers = ['x', 'y'].map((name) => new Impostor(world, name, secrets, delivery));
    for (const server of servers) server.habits = ALL_HABITS;
    const isSlow = setup.u8() === 1;
    const client = world.connect({
      servers: ['x'],
      limits: LIMITS,
      timers: TIMERS,
      ...(isSlow && { cryptoDelayMs: () => 3 }),
    });
    for (const { op, bytes } of script) {
      if (op !== 'habits') world.run(1);
      act(world, servers, client, op, new Directives(bytes));
    }
    assertBounded(servers, client);
    for (const server of servers) server.kill();
    client.autoRead = true;
    world.run(GIVEN_UP_MS);
    assertOver(client);
  },
};

function act(
  world: World,
  servers: readonly Impostor[],
  client: VirtualClient,
  op: string,
  directives: Directives,
): void {
  if (op === 'wait') {
    world.run(directives.u8());
    return;
  }
  if (op === 'habits') {
    const habits = directives.u8();
    for (const server of servers) server.habits = habits;
    return;
  }
  if (op === 'client') {
    use(client, directives);
    return;
  }
  // Whom the client speaks with at present, unless the script says otherwise.
  const newest = servers.findLast((server) => server.lines.some(({ isClosed }) => !isClosed));
  const server = directives.u8() % 2 === 1 ? servers.find((other) => other !== newest) : newest;
  const line = server?.line(directives);
  if (!server || !line) return;
  switch (op) {
    case 'frame':
      server.frame(line, directives.pick(SERVER_FRAMES), directives);
      return;
    case 'data':
      server.data(line, directives);
      return;
    case 'crumbs':
      server.crumbs(line, directives.u16() % 2000);
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

/** What the client's application does meanwhile. */
export function use(client: VirtualClient, directives: Directives): void {
  if (client.closed) return;
  switch (directives.u8() % 7) {
    case 0:
      if (!hasEnded(client)) client.write(new Uint8Array(directives.u8() * 64).fill(3));
      return;
    case 1:
      if (!hasEnded(client)) client.end();
      return;
    case 2:
      client.do((session, now) => session.destroy(now));
      return;
    case 3:
      client.do((session, now) => session.reset(now));
      return;
    case 4: {
      const to = directives.pick([undefined, 'y', 'x', 'a', 'b']);
      const server = to === undefined ? undefined : { name: to, host: to, port: 1 };
      client.do((session, now) => session.migrate(now, { to: server, cause: 4 }));
      return;
    }
    case 5:
      client.autoRead = false;
      return;
    default:
      client.autoRead = true;
      client.read();
  }
}

function hasEnded({ session }: VirtualClient): boolean {
  return opened<{ $core: { streams: { send: { finished: boolean } } } }>(session).$core.streams.send.finished;
}

/** Buffers have their limits, whatever the server sends. */
function assertBounded(servers: readonly Impostor[], client: VirtualClient): void {
  const limits = Object.values(LIMITS).reduce((sum, limit) => sum + limit, 0) + 2 * 8192;
  const sent = servers.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  // Slabs are a little larger than what is in them, and each buffer has a chunk of its own.
  const allowed = 60_000 + 2 * limits;
  const kept = retainedBytes(client.session, new Set(['config', '$config']));
  hold(
    'bounded memory',
    kept <= allowed,
    () => `a client keeps ${kept} bytes, of at most ${allowed}; ${sent} came`,
  );
}

/** Nobody is there any more: the session is over, and says so. */
export function assertOver(client: VirtualClient): void {
  hold('no hang', client.closed !== undefined, () => `the session is still ${client.session.state}`);
  hold('no hang', client.session.pollTimeout() === undefined, () => 'a session that is over has a timer');
  hold('bounded memory', client.openCarriers === 0, () => `${client.openCarriers} carriers are left`);
  // With which code is the server's word: it may say that it failed itself. A core that fails throws.
}

function step(op: string, ...bytes: number[]): Step {
  return { op, bytes: Uint8Array.from(bytes) };
}

function wait(ms: number): Step {
  return step('wait', ms);
}

function frame(name: string, ...directives: number[]): Step {
  return step('frame', 0, 0, SERVER_FRAMES.indexOf(name as never), ...directives);
}
