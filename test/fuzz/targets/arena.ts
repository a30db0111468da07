/**
 * A virtual world with a witness: a session that has moved once, has a ticket, and is quiet. Whatever others do to its
 * servers meanwhile, nothing of its state may change, and afterwards every byte must arrive once.
 */
import { KeyRing } from '../../../packages/godwit/src/crypto/index.ts';
import type { ServerLimits, ServerTimers } from '../../../packages/godwit/src/session/index.ts';
import {
  Delivery,
  FrameDecoder,
  PREFACE_BYTES,
  concatBytes,
  type DataPiece,
  type Frame,
} from '../../../packages/godwit/src/wire/index.ts';
import type { PeerProcess } from '../../world/peer-network.ts';
import type { Pipe } from '../../world/pipe.ts';
import { pattern, transformApp, transformed, type ServerAppFactory } from '../../world/server-apps.ts';
import type { VirtualClient } from '../../world/virtual-client.ts';
import type { VirtualServer } from '../../world/virtual-server.ts';
import { World } from '../../world/world.ts';
import { hold } from '../engine/target.ts';
import { opened } from './opened.ts';
import { describe, difference, entriesNamed, retainedBytes } from './state.ts';

/** Small, so that scripts reach them. */
export const ARENA_LIMITS: Partial<ServerLimits> = {
  receiveWindowBytes: 65_536,
  outputTailBytes: 16_384,
  inputLogBytes: 8192,
  maxStateBytes: 32_768,
  maxSessions: 12,
  maxUnauthenticatedCarriers: 12,
  maxRestoring: 6,
  maxTombstones: 24,
  maxWatched: 40,
  snapshotIntervalBytes: 4096,
};

/** Short, so that waiting is of use; long enough for the witness. */
export const ARENA_TIMERS: Partial<ServerTimers> = {
  authenticateTimeoutMs: 400,
  attachTimeoutMs: 500,
  pullTimeoutMs: 300,
  frozenTimeoutMs: 1200,
  detachedTimeoutMs: 2000,
  replayTimeoutMs: 600,
  lingerMs: 500,
  snapshotIntervalMs: 300,
  releaseDelayMs: 50,
};

/** After so long of nothing, no session is awake and no ticket due, in ms. */
const QUIET_MS = 7000;

/** Longer than all timers that may still end something of an attacker's, in ms. */
const SETTLE_MS = 12_000;

/** Time that a script may take, in ms: the witness sleeps on, and no ticket is made again. */
export const SCRIPT_MS = 6000;

/** What objects share with all others, and costs nothing more. */
const SHARED = new Set(['config', '$config', 'pipe', '$scheduler', '$types', '$known']);

const INPUT_BYTES = 3000;

/** What is shared, or tells only of others. */
const NOT_STATE = new Set(['host', '$host', 'config', '$config', '$live', '$slots', 'deadlineHandle']);

/** What a frame looks like to whoever listens on the wire. */
export interface Overheard {
  readonly from: 'client' | 'server';
  readonly server: string;
  readonly frame: Frame;
  /** The CHALLENGE of its carrier. */
  readonly nonce: Uint8Array;
}

export interface ArenaOptions {
  readonly delivery?: Delivery;
  /** Cryptography of servers answers late. */
  readonly isSlow?: boolean;
  /** Somebody else takes the place of a third member, called "m". */
  readonly member?: PeerProcess;
}

export class Arena {
  readonly world: World;
  readonly witness: VirtualClient;
  readonly delivery: Delivery;
  /** What the witness said and heard. */
  readonly overheard: Overheard[] = [];
  readonly #input = pattern(2 * INPUT_BYTES, 7);
  readonly #before: Map<string, string>;
  readonly #keptBefore: number;
  readonly #endsAt: number;

  constructor(options: ArenaOptions = {}) {
    this.delivery = options.delivery ?? Delivery.Replay;
    this.world = new World({ seed: 1, ring: new KeyRing(new Uint8Array(32).fill(1)) });
    const isCommit = this.delivery === Delivery.Commit;
    this.world.addServers(options.member ? ['a', 'b', 'm'] : ['a', 'b'], {
      delivery: this.delivery,
      app: patient(transformApp({ exports: isCommit ? 1024 : 'pulled' })),
      limits: ARENA_LIMITS,
      timers: ARENA_TIMERS,
      ...(options.isSlow === true && { cryptoDelayMs: () => 3 }),
    });
    if (options.member) this.world.servers.set('m', options.member as unknown as VirtualServer);
    this.world.onDial = (server, pipe) => this.#listen(server, pipe);
    this.witness = this.world.connect({
      servers: ['b'],
      detectors: [],
      timers: { detectIntervalMs: 2500 }, // fewer looks at what is known to be well
    });
    this.witness.write(this.#input.subarray(0, INPUT_BYTES));
    this.#until(() => this.witness.receivedBytes === INPUT_BYTES, 'the witness is served');
    this.witness.do((session, now) =>
      session.migrate(now, { to: { name: 'a', host: 'a', port: 1 }, cause: 4 }),
    );
    this.#until(() => this.witness.session.serverName === 'a', 'the witness moves');
    this.world.run(QUIET_MS);
    this.world.onDial = undefined;
    this.#before = this.#states();
    this.#keptBefore = this.keptBytes;
    this.#endsAt = this.world.now + SCRIPT_MS;
  }

  get servers(): VirtualServer[] {
    return [...this.world.servers.values()].filter((server) => 'node' in server);
  }

  /** Lets time pass, but no more of it than the witness sleeps. */
  wait(ms: number): void {
    this.world.run(Math.max(0, Math.min(ms, this.#endsAt - this.world.now)));
  }

  /** Everything the servers keep. */
  get keptBytes(): number {
    return retainedBytes(
      this.servers.map((server) => [server.node, opened<{ $connections: object }>(server).$connections]),
      SHARED,
    );
  }

  /** Nothing that the servers know of the witness is another than before. */
  assertUntouched(): void {
    const after = this.#states();
    for (const [name, before] of this.#before) {
      const now = after.get(name) ?? '';
      hold(
        'strangers change nothing',
        now === before,
        () => `${name} knows of the witness\n${difference(before, now)}`,
      );
    }
  }

  /** Strangers' carriers cost little each, whatever they send. */
  assertCheap(carriers: number, receivedBytes: number, sessions: number): void {
    // A session keeps what its limits say; of bytes that came, whoever waits for cryptography keeps all.
    const allowed = this.#keptBefore + carriers * 8192 + 4 * receivedBytes + sessions * 300_000;
    const kept = this.keptBytes;
    hold('bounded memory', kept <= allowed, () => `servers keep ${kept} bytes, of at most ${allowed}`);
  }

  /** Attackers are gone and time has passed: nothing of them is left, and the witness is served to its end. */
  finish(how: number): void {
    this.world.run(SETTLE_MS);
    for (const server of this.servers) {
      const { population } = server.node;
      const expected = server.address.name === 'a' ? 1 : 0;
      const {
        sessions,
        carriers,
        unauthenticatedCarriers,
        flaggedCarriers,
        attaches,
        farewells,
        handovers,
        requests,
      } = population;
      const left = { unauthenticatedCarriers, flaggedCarriers, attaches, farewells, handovers, requests };
      hold(
        'bounded memory',
        Object.values(left).every((count) => count === 0),
        () => {
          return `${server.address.name} keeps ${JSON.stringify(population)}`;
        },
      );
      hold(
        'bounded memory',
        sessions === expected && carriers === expected && server.apps.size === expected,
        () => {
          return `${server.address.name} keeps ${JSON.stringify(population)}, ${server.apps.size} applications`;
        },
      );
    }
    const kept = this.keptBytes;
    const allowed = this.#keptBefore + 2 * 24 * 1000 + 4096;
    hold(
      'bounded memory',
      kept <= allowed,
      () => `in the end servers keep ${kept} bytes, of at most ${allowed}`,
    );
    this.#serveWitness(how % 3);
  }

  /** 0: where it is. 1: its server dies. 2: it moves. */
  #serveWitness(how: number): void {
    const { witness, world } = this;
    witness.write(this.#input.subarray(INPUT_BYTES, INPUT_BYTES + 100));
    if (how === 1) {
      world.server('a').kill();
    } else if (how === 2) {
      world.run(1);
      const session = world.server('a').node.session(witness.session.id);
      if (session) world.server('a').node.migrate(world.now, session, { name: 'b', host: 'b', port: 1 });
      world.server('a').poke();
    }
    witness.write(this.#input.subarray(INPUT_BYTES + 100));
    witness.end();
    this.#until(() => witness.closed !== undefined, 'the witness is served to its end');
    hold('others unharmed', witness.closed?.failure === undefined, () => {
      return `the witness ends with ${JSON.stringify(witness.closed?.failure)}\n${world.story()}`;
    });
    const isExact = Buffer.from(witness.received).equals(Buffer.from(transformed(this.#input, 0)));
    hold('others unharmed', isExact && witness.ended, () => 'the output of the witness is not exact');
    world.run(SETTLE_MS);
    for (const server of this.servers) {
      if (!server.isAlive) continue;
      const { tombstones: _, ...population } = server.node.population;
      hold(
        'bounded memory',
        Object.values(population).every((count) => count === 0),
        () => {
          return `after the end ${server.address.name} keeps ${JSON.stringify(population)}`;
        },
      );
    }
  }

  #until(condition: () => boolean, what: string): void {
    try {
      this.world.until(condition, 30_000, what);
    } catch (error) {
      if (error instanceof Error && error.message.startsWith(what))
        hold('others unharmed', false, () => error.message);
      throw error;
    }
  }

  /** For each server, what it knows of the witness. */
  #states(): Map<string, string> {
    const { id } = this.witness.session;
    const states = new Map<string, string>();
    for (const server of this.servers)
      states.set(server.address.name, describe(entriesNamed(server.node, id, NOT_STATE), NOT_STATE));
    return states;
  }

  #listen(server: string, pipe: Pipe): void {
    const nonce = { value: new Uint8Array(16) };
    const decoders = [FrameDecoder.forCarrier('client'), FrameDecoder.forCarrier('server')] as const;
    for (const decoder of decoders) decoder.setAuthenticated();
    let preface = PREFACE_BYTES;
    const sendParts = pipe.sendParts.bind(pipe);
    pipe.sendParts = (end, parts) => {
      const bytes = concatBytes(parts);
      const skipped = end === 0 ? Math.min(preface, bytes.byteLength) : 0;
      preface -= skipped;
      const decoder: FrameDecoder<Frame | DataPiece> = decoders[end];
      decoder.push(bytes.slice(skipped));
      for (let frame = decoder.next(); frame; frame = decoder.next()) {
        if (!('payload' in frame)) continue;
        if (frame.frame === 'challenge') nonce.value = Uint8Array.from(frame.nonce);
        this.overheard.push({ from: end === 0 ? 'client' : 'server', server, frame, nonce: nonce.value });
      }
      sendParts(end, parts);
    };
  }
}

/**
 * An application that resets a session whose state makes no sense to it: who handed that over is trusted with the content
 * of its sessions, so that is no fault of the core.
 */
function patient(app: ServerAppFactory): ServerAppFactory {
  return (session, restart, context) => {
    const attempt = <T>(action: () => T): T | undefined => {
      try {
        return action();
      } catch (error) {
        const isOfState = error instanceof SyntaxError || String(error).startsWith('RangeError: snapshot at');
        if (restart === undefined || !isOfState) throw error;
        session.reset(context.now());
        return undefined;
      }
    };
    const made = attempt(() => app(session, restart, context));
    return { handle: (event) => attempt(() => made?.handle(event)) };
  };
}
