/** Attacks by whoever can connect: other protocols, slowness, lengths that promise much, other versions (invariant I8). */
import {
  PREFACE_BYTES,
  Role,
  encodeFrame,
  encodeHeader,
  encodePreface,
} from '../../packages/godwit/src/wire/index.ts';
import { gained, refused, type Attack, type Outcome } from './attack.ts';
import { bring } from './bring.ts';
import { toText } from './bytes.ts';
import { RawClient } from './raw-client.ts';
import type { Scene, SceneServer } from './scene.ts';
import { comesTrue, waitUntil } from './wait-until.ts';

const PREFACE = 'wire/preface.ts';
/** Whatever comes is taken for the preface of a client. */
const ANY_PREFACE = [
  {
    file: PREFACE,
    search: 'return equalBytes(bytes.subarray(0, length), MAGIC.subarray(0, length));',
    replace: 'return equalBytes(MAGIC.subarray(0, length), MAGIC.subarray(0, length));',
  },
  {
    file: PREFACE,
    search: 'const version = bytes[8] as number;',
    replace:
      'if (bytes.byteLength > 0) return { version: 1, minVersion: 1, role: Role.Client };\n  const version = bytes[8] as number;',
  },
];
/** Lengths in headers are believed. */
const LENGTHS_UNCHECKED = {
  file: 'wire/decoder.ts',
  search: '    if (length > limit) throw overLimit(known.label, length, limit);',
  replace: '    void limit;',
};
/** Nobody counts what comes to nothing. */
const NOTHINGS_UNCOUNTED = {
  file: 'wire/decoder.ts',
  search: 'if (this.#authenticated) return;',
  replace: 'if (length >= 0) return;',
};

/** So slow: a byte, and then a pause: half of what `minBytesPerSecond` asks for. */
const PAUSE_MS = 30;
/** What the server is set to bear; longer than a healthy client takes. */
const SHORT_MS = 150;
/** As good as for ever. */
const LONG_MS = 60_000;
/** How long the attack lasts before it counts as borne. */
const BORNE_MS = 1000;

/** Bytes of another protocol: closed without an answer, and the log says what it was. */
function speaks(what: string, bytes: () => Uint8Array): Attack {
  return {
    name: `${what} is spoken to a server`,
    expected: 'closed ERR_GODWIT_PROTOCOL',
    defence: 'the magic of the preface (protocol.md §3.2)',
    edits: ANY_PREFACE,
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const { refusals } = a as SceneServer;
      const stranger = await RawClient.dial(scene, a as SceneServer);
      let answered = 0;
      stranger.socket.on('data', (chunk: Buffer) => (answered += chunk.byteLength));
      stranger.bytes(bytes());
      await waitUntil(() => answered > 0 || stranger.isClosed, 'answer, nor the end');
      if (answered > 0) return gained('an answer');
      await waitUntil(() => refusals.length > 0, 'refusal');
      return refused(`closed ${refusals[0]?.code}`);
    },
  };
}

/** Sends the bytes one by one, with pauses, until it is thrown out, or has been borne for a while. */
async function trickle(client: RawClient, bytes: Uint8Array): Promise<Outcome> {
  const startedAt = performance.now();
  for (const byte of bytes) {
    client.bytes(Uint8Array.of(byte));
    const isOver = await comesTrue(() => client.isClosed, PAUSE_MS);
    if (isOver) return refused(client.verdict ?? 'closed');
    if (performance.now() - startedAt > BORNE_MS)
      return gained('a place at the server for as long as it takes');
  }
  return gained('all of it was taken');
}

function slowly(
  what: string,
  expected: string,
  timer: string,
  run: (scene: Scene, a: SceneServer) => Promise<Outcome>,
): Attack {
  return {
    name: `${what} comes a byte at a time`,
    expected,
    defence: `\`${timer}\` (protocol.md §12.3, §13.2)`,
    run: async (scene) => {
      const ms = scene.isDefended ? SHORT_MS : LONG_MS;
      const limits = timer === 'prefaceTimeoutMs' ? { [timer]: ms } : {};
      const timers = timer === 'prefaceTimeoutMs' ? {} : { [timer]: ms };
      const [a] = await scene.cluster(['a'], () => ({ limits, timers }));
      return run(scene, a as SceneServer);
    },
  };
}

/** A header that promises a lot, and a little of it: refused at the header, or there is a buffer of that size. */
function promises(
  what: string,
  expected: string,
  type: number,
  length: number,
  isAuthenticated = false,
  edits = [LENGTHS_UNCHECKED],
): Attack {
  return {
    name: what,
    expected,
    defence: 'lengths are checked before anything is allocated (protocol.md §4.4)',
    edits,
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = isAuthenticated
        ? await RawClient.open(scene, a as SceneServer)
        : await RawClient.connect(scene, a as SceneServer);
      client.bytes(encodeHeader(type, length));
      client.bytes(new Uint8Array(1000));
      const isAnswered = await comesTrue(() => client.verdict !== undefined || client.isClosed, BORNE_MS / 2);
      return isAnswered ? refused(client.verdict ?? 'closed') : gained(`a buffer of ${length} bytes`);
    },
  };
}

/** Frames that come to nothing, without end, of somebody who has proved nothing. */
function nothings(what: string, type: number, length: number): Attack {
  return {
    name: `${what} come without end before a proof`,
    expected: 'REFUSE ERR_GODWIT_LIMIT_EXCEEDED',
    defence:
      '`MAX_UNAUTHENTICATED_SKIPPED_FRAMES` and `MAX_UNAUTHENTICATED_SKIPPED_BYTES` (protocol.md §4.4)',
    edits: [NOTHINGS_UNCOUNTED],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.connect(scene, a as SceneServer);
      const many = Buffer.concat(
        new Array<Uint8Array>(1000).fill(Buffer.concat([encodeHeader(type, length), new Uint8Array(length)])),
      );
      client.bytes(many);
      // Whoever is still heard behind them has been listened to all the while.
      client.bytes(client.openFrame());
      return (
        (await client.refusal(() => client.find('support') !== undefined)) ??
        gained(`${many.byteLength} bytes that a server reads for nothing`)
      );
    },
  };
}

const TLS_HELLO = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x00, 0x00, 0x00];
const PREFACE_OF_CLIENT = encodePreface(Role.Client);
const POST = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\r\n';
const OPEN = 0x02;
const MIGRATE = 0x06;
const UNKNOWN = 0xee;
const CLOSE = 0x1a;
const DATA = 0x10;

function versioned(version: number, oldest: number): Uint8Array {
  const preface = PREFACE_OF_CLIENT.slice();
  preface[8] = version;
  preface[9] = oldest;
  return preface;
}

/** So many sessions somebody wants, one after another; what it costs him if he gets no more. */
async function openUntilRefused(scene: Scene, a: SceneServer, count: number): Promise<Outcome | undefined> {
  for (let opened = 0; opened < count; opened += 1) {
    const client = await RawClient.connect(scene, a);
    client.bytes(client.openFrame());
    const refusal = await client.refusal(() => client.find('support') !== undefined);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

const MAX_SESSIONS = 8;

export const strangerAttacks: readonly Attack[] = [
  speaks('HTTP', () => toText('GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
  speaks('TLS', () => Uint8Array.from(TLS_HELLO)),
  speaks('SSH', () => toText('SSH-2.0-OpenSSH_9.2\r\n')),
  speaks("a browser's POST with a preface and OPEN in its body", () =>
    Buffer.concat([toText(POST), PREFACE_OF_CLIENT, encodeHeader(OPEN, 92), new Uint8Array(92)]),
  ),
  {
    name: 'a client is made to speak an older version than both ends know',
    expected: 'REFUSE ERR_GODWIT_VERSION',
    defence: 'a server speaks no version but its own (protocol.md §3.2)',
    edits: [
      {
        file: PREFACE,
        search: 'if (version !== PROTOCOL_VERSION) {',
        replace: 'if (version > PROTOCOL_VERSION) {',
      },
      {
        file: PREFACE,
        search: 'if (minVersion === 0 || minVersion > version) {',
        replace: 'if (minVersion > version) {',
      },
    ],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.dial(scene, a as SceneServer);
      client.bytes(versioned(0, 0));
      return (await client.refusal(() => client.find('challenge') !== undefined)) ?? gained('version 0');
    },
  },
  slowly('a preface', 'closed', 'prefaceTimeoutMs', async (scene, a) => {
    const client = await RawClient.dial(scene, a);
    // The last byte never comes.
    return trickle(client, Buffer.concat([PREFACE_OF_CLIENT.subarray(0, PREFACE_BYTES - 1)]));
  }),
  slowly('OPEN', 'REFUSE ERR_GODWIT_TIMEOUT', 'authenticateTimeoutMs', async (scene, a) => {
    const client = await RawClient.connect(scene, a);
    return trickle(client, client.openFrame());
  }),
  slowly('MIGRATE', 'REFUSE ERR_GODWIT_TIMEOUT', 'authenticateTimeoutMs', async (scene, a) => {
    const owner = await RawClient.open(scene, a);
    const client = await RawClient.connect(scene, a);
    return trickle(client, client.migrateFrame(owner));
  }),
  slowly('DATA', 'RESET ERR_GODWIT_TOO_SLOW', 'slowWriterTimeoutMs', async (scene, a) => {
    const client = await RawClient.open(scene, a);
    return trickle(client, Buffer.concat([encodeHeader(DATA, 100_000), new Uint8Array(1000).fill(48)]));
  }),
  slowly('CLOSE, within a session,', 'RESET ERR_GODWIT_TOO_SLOW', 'slowWriterTimeoutMs', async (scene, a) => {
    const client = await RawClient.open(scene, a);
    return trickle(client, Buffer.concat([encodeHeader(CLOSE, 30), new Uint8Array(29)]));
  }),
  {
    name: 'a client attaches, and never confirms',
    expected: 'closed',
    defence: '`attachTimeoutMs` (protocol.md §13.2)',
    run: async (scene) => {
      const attachTimeoutMs = scene.isDefended ? SHORT_MS : LONG_MS;
      const [a, b] = await scene.cluster(['a', 'b'], () => ({ timers: { attachTimeoutMs } }));
      const owner = await RawClient.open(scene, a as SceneServer);
      const client = await RawClient.connect(scene, b as SceneServer);
      client.bytes(client.migrateFrame(owner, { origin: 'a' }));
      await client.next('accept');
      return (await comesTrue(() => client.isClosed, BORNE_MS))
        ? refused(client.verdict ?? 'closed')
        : gained('a session that nobody has');
    },
  },
  promises('OPEN promises 16 MiB', 'REFUSE ERR_GODWIT_PROTOCOL', OPEN, 2 ** 24 - 1),
  promises('MIGRATE promises 16 MiB', 'REFUSE ERR_GODWIT_PROTOCOL', MIGRATE, 2 ** 24 - 1),
  promises('CLOSE, within a session, promises 16 MiB', 'RESET ERR_GODWIT_PROTOCOL', CLOSE, 2 ** 24 - 1, true),
  promises(
    'a frame of no known type promises 16 MiB',
    'REFUSE ERR_GODWIT_PROTOCOL',
    UNKNOWN,
    2 ** 24 - 1,
    false,
    [
      {
        file: 'wire/decoder.ts',
        search: 'if (!this.#authenticated && length > MAX_UNAUTHENTICATED_FRAME_BYTES) {',
        replace: 'if (!this.#authenticated && length < 0) {',
      },
      NOTHINGS_UNCOUNTED,
    ],
  ),
  nothings('frames of no known type', UNKNOWN, 4096),
  nothings('empty frames of no known type', UNKNOWN, 0),
  nothings('DATA without a byte', DATA, 0),
  {
    name: 'one address takes all the sessions that a server has',
    expected: 'REFUSE ERR_GODWIT_BUSY',
    defence: '`maxSessionsPerAddress` (protocol.md §12.3)',
    edits: [
      {
        file: 'session/places.ts',
        search: 'if (taken >= maxPerAddress)',
        replace: 'if (taken < 0)',
      },
    ],
    run: async (scene) => {
      const limits = { maxSessions: MAX_SESSIONS, maxSessionsPerAddress: MAX_SESSIONS / 2 };
      const [a] = await scene.cluster(['a'], () => ({ limits }));
      return (
        (await openUntilRefused(scene, a as SceneServer, MAX_SESSIONS)) ??
        gained('all the sessions there are')
      );
    },
  },
  {
    name: 'one address brings sessions that it opened elsewhere, until there is room for no other',
    expected: 'REFUSE ERR_GODWIT_BUSY',
    defence: '`maxSessionsPerAddress` holds for MIGRATE (protocol.md §12.3)',
    edits: [
      {
        file: 'session/destination.ts',
        search: 'this.#host.checkPlace(attach.carrierId, this.#bySession.size);',
        replace: '',
      },
      {
        file: 'session/destination.ts',
        search: 'this.#host.checkPlace(carrierId, 0);',
        replace: '',
      },
    ],
    run: async (scene) => {
      const limits = { maxSessions: MAX_SESSIONS, maxSessionsPerAddress: 1 };
      const [a, b] = await scene.cluster(['a', 'b'], (name) => (name === 'b' ? { limits } : {}));
      await RawClient.open(scene, b as SceneServer);
      return bring(scene, b as SceneServer, await RawClient.open(scene, a as SceneServer), { origin: 'a' });
    },
  },
  {
    name: 'one address opens sessions without end',
    expected: 'REFUSE ERR_GODWIT_BUSY',
    defence: '`maxOpensPerSecond` (protocol.md §12.3)',
    setting: '`maxOpensPerSecond`',
    run: async (scene) => {
      const limits = scene.isDefended ? { maxOpensPerSecond: 1 } : {};
      const [a] = await scene.cluster(['a'], () => ({ limits }));
      return (
        (await openUntilRefused(scene, a as SceneServer, 20)) ?? gained('twenty key agreements in a moment')
      );
    },
  },
  {
    name: 'a client asks with PING, and takes no answer',
    expected: 'RESET ERR_GODWIT_LIMIT_EXCEEDED',
    defence: '`MAX_UNSENT_FRAMES` (protocol.md §5.13)',
    edits: [
      {
        file: 'session/answers.ts',
        search: 'if (unsentFrames >= MAX_UNSENT_FRAMES)',
        replace: 'if (unsentFrames < 0)',
      },
    ],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.open(scene, a as SceneServer);
      const pings = Buffer.concat(new Array<Uint8Array>(10_000).fill(encodeFrame('ping', { token: 7 })));
      // More than the buffers of two kernels take.
      client.socket.pause();
      for (let written = 0; written < 24 * 2 ** 20; written += pings.byteLength) client.bytes(pings);
      const { server } = a as SceneServer;
      const isTaken = (): boolean => client.socket.writableLength === 0;
      await waitUntil(() => server.stats.sessions === 0 || isTaken(), 'end');
      const hasGained = server.stats.sessions > 0;
      client.socket.resume();
      return (await client.refusal(() => hasGained)) ?? gained('as much of the memory as it asks for');
    },
  },
  {
    name: 'more input than was granted comes',
    expected: 'RESET ERR_GODWIT_LIMIT_EXCEEDED',
    defence: 'credit (protocol.md §6.2)',
    edits: [
      {
        file: 'session/receive-buffer.ts',
        search: 'if (this.#received + fresh.byteLength > this.#granted) {',
        replace: 'if (fresh.byteLength < 0) {',
      },
    ],
    run: async (scene) => {
      const limits = { receiveWindowBytes: 65_536 };
      const [a] = await scene.cluster(['a'], () => ({ limits, pauseOnConnect: true }));
      const client = await RawClient.connect(scene, a as SceneServer);
      await client.openSession();
      for (let sent = 0; sent < 16; sent += 1) client.data(new Uint8Array(65_536).fill(48));
      const isAnswered = await comesTrue(() => client.verdict !== undefined || client.isClosed, BORNE_MS / 2);
      return isAnswered
        ? refused(client.verdict ?? 'closed')
        : gained('1 MiB of memory, sixteen times what was granted');
    },
  },
];
