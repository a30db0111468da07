/** Clients with sessions of their own who say what they like: to their sessions' harm, and to nobody else's. */
import { frames } from '../../../packages/godwit/src/wire/index.ts';
import type { Step } from '../engine/script.ts';
import type { ScriptTarget } from '../engine/target.ts';
import { Arena } from './arena.ts';
import { Attacker, CLIENT_FRAMES } from './attacker.ts';
import { Directives, lies } from './directives.ts';

const MAX_LINES = 12;
const MIGRATE = frames.migrate.fields;

export const insiders: ScriptTarget = {
  kind: 'script',
  name: 'insiders',
  summary:
    'frames with true proofs and false fields, from two clients with sessions of their own, to servers',
  operations: [
    'dial',
    'frame',
    'frame',
    'frame',
    'frame',
    'data',
    'crumbs',
    'raw',
    'hangUp',
    'wait',
    'wait',
    'server',
    'setup',
  ],
  seeds: () => {
    const open = [step('dial'), wait(4), frame('open'), wait(10)];
    const talk = [step('data', 0, 0, 2, 0), wait(40), frame('ack'), frame('snapshotAck')];
    const move = [
      step('dial', 0, 1),
      wait(4),
      frame('migrate'),
      wait(40),
      frame('confirm'),
      frame('ack'),
      wait(20),
    ];
    const restore = [
      step('dial', 0, 1),
      wait(4),
      frame('migrate', ...lies(MIGRATE, { originState: [1] })),
      wait(20),
      frame('confirm'),
      frame('ack'),
      wait(20),
    ];
    const commit = [step('setup', 1)];
    const all: Step[][] = [
      open,
      [...open, ...talk, frame('fin'), wait(60), frame('ack'), wait(5), frame('closeAck'), wait(5)],
      [...open, ...talk, frame('fin'), frame('close'), wait(20)],
      [...open, ...talk, frame('reset'), wait(20)],
      [...open, ...talk, ...move, ...talk],
      [...open, ...talk, ...restore, ...talk],
      [...open, frame('migrate', ...lies(MIGRATE, { origin: [3, 3] })), wait(20)],
      [...open, ...talk, frame('fin'), wait(40), ...restore, ...talk],
      [...open, ...talk, frame('migrate'), wait(20), frame('confirm'), ...talk],
      [...open, ...talk, frame('detach'), wait(120), ...move],
      [...open, ...talk, step('hangUp', 0), ...move, ...talk],
      [
        ...open,
        step('dial', 0, 1),
        wait(4),
        frame('standby'),
        wait(4),
        frame('watch'),
        frame('ping'),
        step('server', 0, 3),
        wait(4),
        frame('migrate'),
        wait(20),
        frame('confirm'),
      ],
      [...open, ...talk, step('server', 0, 0), step('server', 0, 1), wait(9), ...move],
      [...open, step('crumbs', 0, 0, 200), wait(20), ...move, step('server', 0, 2), wait(20)],
      [
        ...open,
        ...talk,
        step('dial', 0, 1),
        wait(4),
        frame('migrate', ...lies(MIGRATE, { body: [1], originState: [1] })),
        wait(20),
        frame('body'),
        wait(20),
        frame('confirm'),
        wait(20),
      ],
      [...open, step('dial', 1, 1), wait(4), step('frame', 1, 0, 0), wait(10), step('frame', 0, 0, 7)],
    ];
    return [
      ...all,
      ...all.map((script) => [...commit, ...script]),
      [step('setup', 0, 1), ...open, ...talk, ...move],
    ];
  },
  run: (script) => {
    const setup = new Directives(script.find(({ op }) => op === 'setup')?.bytes ?? new Uint8Array(0));
    const arena = new Arena({ delivery: setup.u8() === 1 ? 1 : 0, isSlow: setup.u8() === 1 });
    const attackers = [new Attacker(arena, 0), new Attacker(arena, 1)];
    for (const { op, bytes } of script) act(arena, attackers, op, new Directives(bytes));
    arena.wait(2);
    arena.assertUntouched();
    const carriers = attackers.reduce((sum, { lines }) => sum + lines.length, 0);
    const sentBytes = attackers.reduce((sum, attacker) => sum + attacker.sentBytes, 0);
    arena.assertCheap(carriers, sentBytes, attackers.filter(({ isInsider }) => isInsider).length * 2);
    for (const attacker of attackers) for (const line of attacker.lines) attacker.hangUp(line);
    for (const { node } of arena.servers) node.setDraining(arena.world.now, false);
    arena.finish(setup.u8());
  },
};

function act(arena: Arena, attackers: readonly Attacker[], op: string, directives: Directives): void {
  if (op === 'wait') {
    arena.wait(directives.u8());
    return;
  }
  const attacker = directives.pick(attackers);
  if (op === 'dial') {
    if (attacker.lines.length < MAX_LINES) attacker.dial(directives.pick(['a', 'b']));
    return;
  }
  if (op === 'server') {
    operate(arena, attacker, directives);
    return;
  }
  const line = attacker.line(directives);
  if (!line) return;
  switch (op) {
    case 'frame':
      attacker.frame(line, directives.pick(CLIENT_FRAMES), directives);
      return;
    case 'data':
      attacker.data(line, directives);
      return;
    case 'crumbs':
      attacker.crumbs(line, directives.u16() % 2000);
      return;
    case 'raw':
      attacker.bytes(line, directives.rest());
      return;
    case 'hangUp':
      attacker.hangUp(line);
      return;
    default:
  }
}

/** What an operator, or the application, does to an attacker's session meanwhile. */
function operate(arena: Arena, attacker: Attacker, directives: Directives): void {
  const { world } = arena;
  const server = arena.servers.find(({ node }) => node.session(attacker.sessionIdText));
  const session = server?.node.session(attacker.sessionIdText);
  switch (directives.u8() % 6) {
    case 0:
      for (const { node } of arena.servers) node.setDraining(world.now, !node.isDraining);
      return;
    case 1:
      if (session) server?.node.migrate(world.now, session, { name: 'b', host: 'b', port: 1 });
      break;
    case 2:
      session?.reset(world.now);
      break;
    case 3:
      for (const { node } of arena.servers)
        node.trigger(world.now, Buffer.from(attacker.sessionIdText, 'hex'), {
          name: 'b',
          host: 'b',
          port: 1,
        });
      break;
    case 4:
      session?.destroy(world.now);
      break;
    default:
      if (session && !session.outputFinished && !session.isFrozen) session.end(world.now);
  }
  for (const each of arena.servers) each.poke();
}

function step(op: string, ...bytes: number[]): Step {
  return { op, bytes: Uint8Array.from(bytes) };
}

function wait(ms: number): Step {
  return step('wait', ms);
}

function frame(name: string, ...directives: number[]): Step {
  return step('frame', 0, 0, CLIENT_FRAMES.indexOf(name as never), ...directives);
}
