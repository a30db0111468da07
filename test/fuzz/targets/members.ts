/** A member of the cluster that says what it likes, on a link that it has the key for; sessions of others are not its. */
import {
  FrameDecoder,
  ProtocolError,
  frames,
  peerFrames,
  type PeerFrame,
  type PeerFrameName,
  type ServerAddress,
} from '../../../packages/godwit/src/wire/index.ts';
import type { Step } from '../engine/script.ts';
import type { ScriptTarget } from '../engine/target.ts';
import { Arena } from './arena.ts';
import { Attacker, CLIENT_FRAMES } from './attacker.ts';
import { Directives, buildFrame, buildPayload, lies, type Truth } from './directives.ts';

const PEER_FRAMES = Object.keys(peerFrames) as PeerFrameName[];
const NONCE = new Uint8Array(16).fill(0x4e);
const MAX_LINES = 12;

export const members: ScriptTarget = {
  kind: 'script',
  name: 'members',
  summary: 'messages between servers from a member that lies, with a client that plays along, to servers',
  operations: [
    'peer',
    'peer',
    'peer',
    'peer',
    'dial',
    'frame',
    'frame',
    'data',
    'hangUp',
    'wait',
    'wait',
    'lost',
    'setup',
  ],
  seeds: () => {
    const open = [
      step('dial'),
      wait(4),
      frame('open'),
      wait(10),
      step('data', 1, 0),
      wait(40),
      frame('ack'),
      frame('snapshotAck'),
    ];
    // MIGRATE to b that names m as its origin: b asks m.
    const ask = [
      step('dial', 1),
      wait(4),
      frame('migrate', ...lies(frames.migrate.fields, { origin: [3, 3] })),
      wait(5),
    ];
    const answers: Step[][] = [
      [peer('state', 1), wait(20), frame('confirm'), wait(60)],
      [
        peer('state', 1, ...lies(peerFrames.state.fields, { bodyBytes: [5, 9] })),
        peer('stateChunk', 1, 0, 0, 9, 7, 0, 9),
        wait(20),
        frame('confirm'),
        wait(20),
      ],
      [peer('gone', 1), wait(20), frame('confirm'), wait(20)],
      [peer('gone', 1, ...lies(peerFrames.gone.fields, { ended: [1] })), wait(20)],
      [peer('pullRefused', 1, ...lies(peerFrames.pullRefused.fields, { code: [5, 5] })), wait(20)],
      [step('lost', 1), wait(20)],
      [wait(255), wait(255), peer('state', 1)],
      [peer('stateChunk', 1), wait(9)],
    ];
    const pull = [peer('pull'), wait(60)];
    const all: Step[][] = [
      [...PEER_FRAMES.map((name) => peer(name)), wait(40)],
      [
        step('peer', 0, 0, PEER_FRAMES.indexOf('pull'), 1),
        step('peer', 0, 0, PEER_FRAMES.indexOf('release'), 1),
        wait(40),
      ],
      [step('peer', 0, 1, PEER_FRAMES.indexOf('pull'), 1), wait(40)],
      [...open, ...pull, peer('confirmed'), wait(30)],
      [
        ...open,
        ...pull,
        peer('abort'),
        wait(30),
        step('dial', 0),
        wait(4),
        frame('migrate'),
        wait(9),
        frame('confirm'),
      ],
      [...open, peer('release'), wait(30), ...PEER_FRAMES.map((name) => peer(name)), wait(9)],
      ...answers.map((answer) => [...open, ...ask, ...answer]),
    ];
    return [...all, ...all.map((script) => [step('setup', 1), ...script])];
  },
  run: (script) => new Cluster(script.find(({ op }) => op === 'setup')?.bytes).run(script),
};

class Cluster {
  readonly #arena: Arena;
  readonly #client: Attacker;
  readonly #setup: Directives;
  /** The PULLs that came, by the server that sent them. */
  readonly #asked: { readonly by: string; readonly requestId: number }[] = [];
  #requests = 0;
  #sentBytes = 0;

  constructor(setup: Uint8Array = new Uint8Array(0)) {
    this.#setup = new Directives(setup);
    this.#arena = new Arena({
      delivery: this.#setup.u8() === 1 ? 1 : 0,
      isSlow: this.#setup.u8() === 1,
      member: {
        address: { name: 'm', host: 'm', port: 1 },
        isAlive: true,
        isSilent: false,
        handlePeerFrame: (from, message) => this.#hear(from, message),
        handlePeerLost: () => undefined,
      },
    });
    this.#client = new Attacker(this.#arena, 0);
  }

  run(script: readonly Step[]): void {
    const arena = this.#arena;
    for (const { op, bytes } of script) this.#act(op, new Directives(bytes));
    arena.wait(2);
    arena.assertUntouched();
    const { lines, sentBytes } = this.#client;
    arena.assertCheap(lines.length, sentBytes + this.#sentBytes, 2);
    for (const line of lines) this.#client.hangUp(line);
    arena.finish(this.#setup.u8());
  }

  #act(op: string, directives: Directives): void {
    switch (op) {
      case 'wait':
        this.#arena.wait(directives.u8());
        return;
      case 'peer':
        this.#say(directives);
        return;
      case 'lost':
        for (const server of this.#arena.servers) server.handlePeerLost(directives.pick(['a', 'm', 'b']));
        return;
      case 'dial':
        if (this.#client.lines.length < MAX_LINES) this.#client.dial(directives.pick(['a', 'b']));
        return;
      default:
    }
    const line = this.#client.line(directives);
    if (!line) return;
    if (op === 'frame') this.#client.frame(line, directives.pick(CLIENT_FRAMES), directives);
    else if (op === 'data') this.#client.data(line, directives);
    else if (op === 'hangUp') this.#client.hangUp(line);
  }

  #say(directives: Directives): void {
    const to = this.#arena.world.server(directives.pick(['a', 'b']));
    // Names are what a holder of the key says of itself.
    const name = directives.pick(['m', to.address.name === 'a' ? 'b' : 'a', 'z']);
    const message = directives.pick(PEER_FRAMES);
    const { fields } = peerFrames[message];
    const payload = buildPayload(fields, this.#truth(message, to.address.name, name, directives), directives);
    const bytes = buildFrame(peerFrames[message], payload, directives);
    this.#sentBytes += bytes.byteLength;
    const decoder = FrameDecoder.forPeerLink();
    decoder.push(bytes);
    try {
      for (let frame = decoder.next(); frame; frame = decoder.next())
        to.handlePeerFrame({ name, host: name, port: 1 }, frame);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      to.handlePeerLost(name);
    }
  }

  #truth(message: PeerFrameName, to: string, name: string, directives: Directives): Truth {
    const requestId = this.#asked.findLast(({ by }) => by === to)?.requestId;
    const { sessionId, askedEpoch } = this.#client;
    switch (message) {
      case 'pull':
      case 'release': {
        this.#requests += 1;
        const { overheard, witness } = this.#arena;
        const spoken =
          directives.u8() === 1 ? overheard.find(({ frame }) => frame.frame === 'migrate') : undefined;
        const proof = spoken
          ? { sessionId: witness.session.sessionId, nonce: spoken.nonce, migrate: spoken.frame.payload }
          : {
              sessionId,
              nonce: NONCE,
              migrate: this.#client.migrateFor(name, NONCE, new Directives(new Uint8Array(0))),
            };
        return { requestId: this.#requests, deadlineMs: 300, ...proof };
      }
      case 'state':
        return { requestId, sessionId, epoch: askedEpoch - 1, k: 1, schema: 1 };
      case 'confirmed':
      case 'abort':
        return { sessionId, epoch: askedEpoch };
      default:
        return { requestId };
    }
  }

  #hear(from: ServerAddress, message: PeerFrame): void {
    if (message.frame === 'pull') this.#asked.push({ by: from.name, requestId: message.requestId });
  }
}

function step(op: string, ...bytes: number[]): Step {
  return { op, bytes: Uint8Array.from(bytes) };
}

function wait(ms: number): Step {
  return step('wait', ms);
}

function frame(name: string, ...directives: number[]): Step {
  return step('frame', 0, CLIENT_FRAMES.indexOf(name as never), ...directives);
}

function peer(name: PeerFrameName, to = 0, ...directives: number[]): Step {
  return step('peer', to, 0, PEER_FRAMES.indexOf(name), ...directives);
}
