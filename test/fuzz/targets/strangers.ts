/** Strangers at the door of servers: whoever knows no secret, but has listened to those who do. */
import { encodePreface, framePayload, frames, Role } from '../../../packages/godwit/src/wire/index.ts';
import type { Step } from '../engine/script.ts';
import type { ScriptTarget } from '../engine/target.ts';
import { Arena } from './arena.ts';
import { Attacker, CLIENT_FRAMES, SERVER_FRAMES } from './attacker.ts';
import { Directives, lies } from './directives.ts';

const MAX_LINES = 20;

export const strangers: ScriptTarget = {
  kind: 'script',
  name: 'strangers',
  summary: 'prefaces, frames and what was overheard of others, from peers that prove nothing, to servers',
  operations: [
    'dial',
    'dial',
    'frame',
    'frame',
    'frame',
    'raw',
    'repeat',
    'data',
    'hangUp',
    'wait',
    'preface',
    'setup',
  ],
  seeds: () => [
    [],
    [step('setup', 1), step('dial'), step('wait', 5)],
    // Somebody else's session, from an epoch that was never seen.
    [
      step('dial'),
      step('wait', 4),
      step('frame', 0, CLIENT_FRAMES.indexOf('migrate'), ...lies(frames.migrate.fields, { epoch: [2] })),
      step('wait', 20),
    ],
    ...CLIENT_FRAMES.map((_, index) => [
      step('dial', index % 2),
      step('wait', 3),
      step('frame', 0, index),
      step('wait', 20),
    ]),
    ...SERVER_FRAMES.map((_, index) => [step('dial'), step('frame', 0, 64 + index), step('wait', 20)]),
    ...Array.from({ length: 16 }, (_, index) => [
      step('dial', index),
      step('wait', 3),
      step('repeat', 0, index),
    ]),
    [step('preface', 0, 8, 9), step('preface', 1, 10, 1), step('preface', 0, 0, 0)],
    [
      step('dial'),
      step('raw', 0, 0x80, 0, 0, 1, 1),
      step('raw', 0, 5, 0, 32, 0),
      step('wait', 250),
      step('wait', 250),
    ],
    [step('setup', 0, 0, 1), step('dial', 1), step('hangUp', 0)],
  ],
  run: (script) => {
    const setup = new Directives(script.find(({ op }) => op === 'setup')?.bytes ?? new Uint8Array(0));
    const arena = new Arena({ delivery: setup.u8() === 1 ? 1 : 0, isSlow: setup.u8() === 1 });
    const attacker = new Attacker(arena, 0);
    for (const { op, bytes } of script) act(arena, attacker, op, new Directives(bytes));
    arena.wait(5);
    arena.assertUntouched();
    arena.assertCheap(attacker.lines.length, attacker.sentBytes, attacker.isInsider ? 1 : 0);
    for (const line of attacker.lines) attacker.hangUp(line);
    arena.finish(setup.u8());
  },
};

function act(arena: Arena, attacker: Attacker, op: string, directives: Directives): void {
  if (op === 'dial' || op === 'preface') {
    if (attacker.lines.length >= MAX_LINES) return;
    const server = directives.pick(['a', 'b']);
    const preface = Uint8Array.from(encodePreface(Role.Client));
    if (op === 'preface') preface.set(directives.rest().slice(1, 4), (directives.u8() + 8) % 9);
    attacker.dial(server, preface);
    return;
  }
  if (op === 'wait') {
    arena.wait(directives.u8());
    return;
  }
  const line = attacker.line(directives);
  // Who has opened a session of its own proves things from then on: another target looks at that.
  if (!line || attacker.isInsider) return;
  switch (op) {
    case 'frame': {
      const index = directives.u8();
      const names = index < 64 ? CLIENT_FRAMES : SERVER_FRAMES;
      const name = names[index % names.length];
      if (name) attacker.frame(line, name, directives);
      return;
    }
    case 'raw':
      attacker.bytes(line, directives.rest());
      return;
    case 'data':
      attacker.data(line, directives);
      return;
    case 'repeat': {
      const spoken = arena.overheard.filter(({ from }) => from === 'client');
      const { frame } = directives.pick(spoken);
      const payload = Uint8Array.from(frame.payload);
      if (directives.u8() === 1) payload[directives.u16() % payload.byteLength] = directives.u8();
      attacker.bytes(line, framePayload(frame.frame, payload));
      return;
    }
    case 'hangUp':
      attacker.hangUp(line);
      return;
    default:
  }
}

function step(op: string, ...bytes: number[]): Step {
  return { op, bytes: Uint8Array.from(bytes) };
}
