/**
 * What happens in an exchange when no fault strikes. Each script takes the session through one way of restoring it, or
 * of ending it. It begins at server a, and goes to b.
 */
import type { ServerNode, ServerSession, ServerTimers } from '../../../packages/godwit/src/session/index.ts';
import { Cause, Delivery, type ServerAddress } from '../../../packages/godwit/src/wire/index.ts';
import type { VirtualClient } from '../../world/virtual-client.ts';
import type { World } from '../../world/world.ts';
import type { ExportHabit } from '../server-application.ts';

/** Where a script acts. */
export interface Stage {
  readonly world: World;
  readonly client: VirtualClient;
}

export interface Step {
  /** Once the client has so much output, or once that server has handled such a frame. */
  readonly when: { readonly output: number } | { readonly frame: string; readonly at: string };
  readonly act: (stage: Stage) => void;
}

export interface ExhaustiveScript {
  readonly name: string;
  /** What a run of it shows. */
  readonly summary: string;
  /** Faults strike behind every byte, not only behind every frame: always, in deep runs, or not at all. */
  readonly everyByte: 'always' | 'deep' | 'never';
  /** So many faults strike in one run, of two. */
  readonly mostFaults?: 0 | 1;
  /** In this mode alone. */
  readonly only?: Delivery;
  /** How the application answers when it is asked for a snapshot. Default: it makes one behind every byte. */
  readonly exports?: ExportHabit;
  /** All servers ask a fence, which must answer before a session goes live and before each ticket. */
  readonly isFenced?: true;
  /** Bytes of the application's state. */
  readonly stateBytes?: number;
  readonly serverEndsFirst?: boolean;
  /** The client's application ends the session by itself, in the middle. */
  readonly clientEnds?: 'destroys' | 'resets';
  /** The server's does, behind its first answer. */
  readonly serverEnds?: 'destroys' | 'resets';
  readonly timers?: Partial<ServerTimers>;
  /** What the client may keep of its input; where a ticket never comes, the session is unprotected beyond. */
  readonly retainLimitBytes?: number;
  /** Between two requests. */
  readonly paceMs?: number;
  /** Each waits for the one before it. */
  readonly steps: readonly Step[];
  /** What restores the session in a run without faults, in order. */
  readonly shows: readonly ('resume' | 'origin' | 'ticket')[];
}

/** Every request is answered; the first answer is where scripts begin to act. */
export const REQUESTS = 3;
export const REQUEST_BYTES = 6;
export const ANSWER_BYTES = 8;
/** Between two requests, in ms: an exchange lasts as long as a migration. */
export const PACE_MS = 9;
/** How long a process that a script kills is away, in ms. */
export const RESTART_MS = 400;

/** How long the origin of the script `stall` is away behind the first MIGRATE: it wakes up as the second is on its way. */
const STALLED_MS = 9;

const FIRST_ANSWER = { output: ANSWER_BYTES };

function address(name: string): ServerAddress {
  return { name, host: name, port: 1 };
}

/** Runs something at the server that has the session, if one has. */
function onServer(
  { world, client }: Stage,
  run: (session: ServerSession, now: number, node: ServerNode) => void,
): void {
  const server = world.servers.get(client.session.serverName);
  const session = server?.node.session(client.session.id);
  if (server && session) server.inside(() => run(session, server.now, server.node));
}

/** The serving server asks its client, in-band, to go to b. */
function trigger(stage: Stage): void {
  onServer(stage, (session, now, node) => void node.migrate(now, session, address('b')));
}

function migrate(to: string, cause: Cause): (stage: Stage) => void {
  return ({ client }) => client.do((session, now) => session.migrate(now, { to: address(to), cause }));
}

function kill(name: string): (stage: Stage) => void {
  return ({ world }) => {
    if (!world.server(name).isAlive) return;
    world.server(name).kill();
    world.scheduler.after(RESTART_MS, () => {
      if (!world.server(name).isAlive) world.start(name);
    });
  };
}

const MOVES: readonly ExhaustiveScript[] = [
  {
    name: 'plain',
    summary: 'no migration but those that faults bring about',
    everyByte: 'always',
    steps: [],
    shows: [],
  },
  {
    name: 'server-ends-first',
    summary: 'the same; the server ends its stream, and then the client its own',
    everyByte: 'deep',
    serverEndsFirst: true,
    steps: [],
    shows: [],
  },
  {
    name: 'origin',
    summary: 'a planned migration: the frozen origin hands the session over',
    everyByte: 'always',
    steps: [{ when: FIRST_ANSWER, act: trigger }],
    shows: ['origin'],
  },
  {
    name: 'standby',
    summary: 'the same over a standby, asked for by the destination',
    everyByte: 'deep',
    steps: [
      { when: FIRST_ANSWER, act: ({ client }) => client.standby('b') },
      {
        when: { frame: 'watch', at: 'b' },
        act: ({ world, client }) => {
          const server = world.server('b');
          server.inside(() => server.node.trigger(server.now, client.session.sessionId, address('b')));
        },
      },
    ],
    shows: ['origin'],
  },
  {
    name: 'ticket',
    summary: 'the origin is killed: the client’s ticket restores the session',
    everyByte: 'always',
    steps: [{ when: FIRST_ANSWER, act: kill('a') }],
    shows: ['ticket'],
  },
  {
    name: 'fenced-origin',
    summary: 'a planned migration between servers with a fence',
    everyByte: 'never',
    isFenced: true,
    steps: [{ when: FIRST_ANSWER, act: trigger }],
    shows: ['origin'],
  },
  {
    name: 'fenced-ticket',
    summary: 'the origin is killed: the fence decides about the client’s ticket',
    everyByte: 'never',
    isFenced: true,
    steps: [{ when: FIRST_ANSWER, act: kill('a') }],
    shows: ['ticket'],
  },
  {
    name: 'detach',
    summary:
      'the destination can’t reach the origin: the client detaches the session, with a ticket made for that',
    everyByte: 'always',
    timers: { pullTimeoutMs: 6 },
    paceMs: 13,
    steps: [
      {
        when: FIRST_ANSWER,
        act: (stage) => {
          stage.world.partition('a', 'b');
          trigger(stage);
        },
      },
    ],
    shows: ['ticket'],
  },
  {
    name: 'resume',
    summary: 'the client goes to another carrier of the same server',
    everyByte: 'always',
    steps: [{ when: FIRST_ANSWER, act: migrate('a', Cause.AddressChanged) }],
    shows: ['resume'],
  },
  {
    name: 'open-again',
    summary: 'the first server is killed before SUPPORT goes out: the client opens the session elsewhere',
    everyByte: 'always',
    steps: [{ when: { frame: 'open', at: 'a' }, act: kill('a') }],
    shows: [],
  },
  {
    name: 'thaw',
    summary:
      'a planned migration whose destination dies when it has the state: the client takes the session back',
    everyByte: 'deep',
    steps: [
      { when: FIRST_ANSWER, act: trigger },
      { when: { frame: 'stateChunk', at: 'b' }, act: kill('b') },
    ],
    shows: [],
  },
  {
    name: 'round-trip',
    summary: 'to b and home again, handed over both times',
    everyByte: 'never',
    paceMs: 17,
    steps: [
      { when: FIRST_ANSWER, act: trigger },
      { when: { frame: 'confirm', at: 'b' }, act: migrate('a', Cause.Application) },
    ],
    shows: ['origin', 'origin'],
  },
  {
    name: 'no-exporter',
    summary: 'handed over with all that was ever said: the application gives no state',
    everyByte: 'never',
    mostFaults: 1,
    exports: 'never',
    // In commit mode such a session is unprotected: its server's death may end it.
    only: Delivery.Replay,
    steps: [{ when: FIRST_ANSWER, act: trigger }],
    shows: ['origin'],
  },
  {
    name: 'unprotected',
    summary: 'the same where its client may keep less than a request: a death of its server ends the session',
    everyByte: 'never',
    mostFaults: 1,
    exports: 'never',
    only: Delivery.Replay,
    retainLimitBytes: 8,
    steps: [{ when: { output: 2 * ANSWER_BYTES }, act: trigger }],
    shows: ['origin'],
  },
  {
    name: 'quiet',
    summary: 'nothing is said for longer than a ticket lasts; then the origin is killed',
    everyByte: 'never',
    mostFaults: 0, // what a fault takes a while to show is no violation here: the ticket may run out
    timers: { ticketLifetimeMs: 40_000 },
    paceMs: 61_000,
    steps: [
      {
        when: FIRST_ANSWER,
        act: (stage) => {
          stage.world.scheduler.after(60_000, () => kill('a')(stage));
        },
      },
    ],
    shows: ['ticket'],
  },
  {
    name: 'stall',
    summary:
      'the origin stops, and wakes up while the client asks elsewhere: a newer ticket comes before ACCEPT does',
    everyByte: 'never',
    mostFaults: 0, // it shows one order of things, which any fault would change
    timers: { pullTimeoutMs: 6 },
    // One request is out when it wakes up, and one is not made yet.
    paceMs: 1100,
    steps: [
      {
        when: FIRST_ANSWER,
        act: ({ world }) => {
          world.partition('a', 'c');
          world.scheduler.after(30, () => world.server('a').suspend());
        },
      },
      {
        when: { frame: 'migrate', at: 'c' },
        act: ({ world }) => {
          world.scheduler.after(STALLED_MS, () => world.server('a').resume());
        },
      },
    ],
    shows: ['resume'],
  },
  {
    name: 'late-migrate',
    summary: 'a MIGRATE that its client gave up comes when the session has come to that server by another',
    everyByte: 'never',
    mostFaults: 0, // it shows one order of things, which any fault would change
    paceMs: 2800,
    steps: [
      { when: FIRST_ANSWER, act: trigger },
      {
        when: { frame: 'challenge', at: 'client' },
        act: (stage) => {
          for (const pipe of stage.client.pipesTo('b')) stage.world.scheduler.after(5000, pipe.hold());
          stage.world.scheduler.after(3300, () => trigger(stage));
        },
      },
    ],
    shows: ['origin'],
  },
  {
    name: 'large-state',
    summary:
      'handed over to b, which is killed: a state of many pieces in STATE_CHUNK, in the ticket and in BODY',
    everyByte: 'never',
    stateBytes: 70_000,
    steps: [
      { when: FIRST_ANSWER, act: trigger },
      { when: { frame: 'snapshotAck', at: 'b' }, act: kill('b') },
    ],
    shows: ['origin', 'ticket'],
  },
];

/** What one application does to end it, both must hear of. */
const ENDINGS: readonly ExhaustiveScript[] = [
  {
    name: 'client-resets',
    summary: 'the client’s application resets the session',
    everyByte: 'never',
    clientEnds: 'resets',
    steps: [],
    shows: [],
  },
  {
    name: 'client-destroys',
    summary: 'the client’s application is gone: what it wrote still arrives',
    everyByte: 'never',
    clientEnds: 'destroys',
    steps: [],
    shows: [],
  },
  {
    name: 'server-resets',
    summary: 'the server’s application resets the session',
    everyByte: 'never',
    serverEnds: 'resets',
    steps: [],
    shows: [],
  },
  {
    name: 'server-destroys',
    summary: 'the server’s application is gone: what it wrote still arrives',
    everyByte: 'never',
    serverEnds: 'destroys',
    steps: [],
    shows: [],
  },
];

export const SCRIPTS: readonly ExhaustiveScript[] = [...MOVES, ...ENDINGS];

/** The modes that a script is run in. */
export function modesOf({ only }: ExhaustiveScript): readonly (typeof MODES)[number][] {
  return MODES.filter(({ delivery }) => only === undefined || delivery === only);
}

export const MODES = [
  { name: 'replay', delivery: Delivery.Replay },
  { name: 'commit', delivery: Delivery.Commit },
] as const;
