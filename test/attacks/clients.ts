/** Attacks on clients, by somebody on their path or by a member of the cluster that turned (protocol.md §5.10, §5.5). */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerOptions, Socket } from 'godwit';
import { KeyRing, NodeCrypto, random } from '../../packages/godwit/src/crypto/index.ts';
import {
  FrameDecoder,
  NO_MAC,
  PREFACE_BYTES,
  PROTOCOL_VERSION,
  Role,
  encodeFrame,
  encodePayload,
  encodePreface,
  framePayload,
  macedPart,
  withMac,
  type Frame,
  type FrameValue,
} from '../../packages/godwit/src/wire/index.ts';
import { gained, refused, type Attack, type Outcome } from './attack.ts';
import { flipBit } from './bytes.ts';
import { Relay, type Tampering } from './relay.ts';
import { CLUSTER_KEY, NEXT_CLUSTER_KEY, type Member, type Scene, type SceneServer } from './scene.ts';
import { comesTrue, waitUntil } from './wait-until.ts';

const TRIGGERS = 'session/client-triggers.ts';
const WRONG_MAC = new Uint8Array(16).fill(7);

/** The client believes any frame of that kind. */
function unverified(label: string): { file: string; search: string; replace: string } {
  return {
    file: 'session/client-core.ts',
    search: `        if (!ok)
          throw new ProtocolError(WireCode.Unauthenticated,`,
    replace: `        if (!ok && label !== '${label}')
          throw new ProtocolError(WireCode.Unauthenticated,`,
  };
}

export interface Intercepted {
  readonly a: SceneServer;
  readonly b: Member;
  readonly relay: Relay;
  readonly client: Socket;
}

/** A client whose way to server a, wherever it comes from, leads over somebody. Server b listens only if told. */
async function intercepted(
  scene: Scene,
  listens = true,
  tampering: Tampering = {},
  options: ServerOptions = {},
): Promise<Intercepted> {
  const [at, b] = (await scene.members('a', 'b')) as [Member, Member];
  const relay = await Relay.start(scene, at, tampering);
  const members = [{ ...at, port: relay.port }, b];
  const a = await scene.listen(at, {
    members,
    advertise: { host: relay.host, port: relay.port },
    ...options,
  });
  if (listens) await scene.listen(b, { members });
  const client = connectTo(scene, relay);
  return { a, b, relay, client };
}

export function connectTo(scene: Scene, { host, port }: Pick<Member, 'host' | 'port'>): Socket {
  const client = scene.library.connect({ servers: [`${host}:${port}`], standby: false });
  client.on('error', () => undefined);
  scene.defer(() => void client.destroy());
  return client;
}

/** Pays so much in and answers the balance. */
export async function pay(client: Socket, amount: number): Promise<string> {
  client.write(String(amount));
  let answer = '';
  while (!answer.endsWith(';')) answer += String(((await once(client, 'data')) as [Buffer])[0]);
  return answer;
}

function triggerFrame(
  client: Socket,
  to: { readonly name: string; readonly host: string; readonly port: number },
  isTrue: boolean,
): Uint8Array {
  const sessionId = Buffer.from(client.sessionId ?? '', 'hex');
  const { epoch } = client;
  const value = { sessionId, epoch, counter: 1, reason: 0, from: 'evil', ...to, mac: NO_MAC };
  const payload = encodePayload('trigger', value);
  const crypto = new NodeCrypto({ ring: KeyRing.from(CLUSTER_KEY) });
  const { mac } = crypto.execute({ op: 'triggerMac', sessionId, data: [macedPart(payload)] });
  return framePayload('trigger', withMac(payload, isTrue ? mac : WRONG_MAC));
}

/** Whether the client does as it was told by somebody. */
async function obedience({ client, relay }: Intercepted, frame: Uint8Array): Promise<Outcome> {
  let isMoving = false;
  client.once('migrating', () => (isMoving = true));
  relay.inject(frame);
  await pay(client, 1);
  if (await comesTrue(() => isMoving, 50)) return gained('the client leaves its server');
  await pay(client, 1);
  return refused('ignored');
}

/** A server that has neither keys nor the session, and accepts it. */
async function rogue(scene: Scene): Promise<Member> {
  const server = net.createServer((socket) => {
    scene.defer(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.write(
      encodeFrame('challenge', { version: PROTOCOL_VERSION, nonce: random(16), serverName: 'rogue' }),
    );
    const decoder = FrameDecoder.forCarrier('client');
    decoder.setAuthenticated();
    let skip = PREFACE_BYTES;
    socket.on('data', (chunk: Buffer) => {
      decoder.push(chunk.subarray(skip));
      skip = Math.max(0, skip - chunk.byteLength);
      for (let frame = decoder.next(); frame; frame = decoder.next())
        if (frame.frame === 'migrate') socket.write(acceptOf(frame));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  scene.defer(() => void server.close());
  return { name: 'rogue', host: '127.0.0.1', port: (server.address() as net.AddressInfo).port };
}

function acceptOf(migrate: Frame<'migrate'>): Uint8Array {
  const value: FrameValue<'accept'> = {
    epoch: migrate.epoch,
    source: 1,
    restartEpoch: migrate.newestEpoch,
    restartK: migrate.newestK,
    restartOutput: migrate.delivered,
    inputStart: migrate.retainedFrom,
    outputStart: migrate.received,
    credit: 1 << 20,
    mac: WRONG_MAC,
  };
  return encodeFrame('accept', value);
}

/** The client ends with that error, or goes on as somebody wants. */
async function endOf(client: Socket, isGained: () => boolean, what: string): Promise<Outcome> {
  let code: string | undefined;
  client.on('error', (error: NodeJS.ErrnoException) => (code = error.code));
  await waitUntil(() => code !== undefined || isGained(), 'end');
  return code === undefined ? gained(what) : refused(code);
}

export const clientAttacks: readonly Attack[] = [
  {
    name: 'TRIGGER is forged by somebody on the path',
    expected: 'ignored',
    defence: "the MAC under the session's trigger key (protocol.md §8.5)",
    edits: [
      { file: TRIGGERS, search: '        if (!ok) {', replace: '        if (!ok && frame.counter < 0) {' },
    ],
    run: async (scene) => {
      const all = await intercepted(scene);
      await pay(all.client, 100);
      return obedience(all, triggerFrame(all.client, all.b, false));
    },
  },
  {
    name: 'a captured TRIGGER is sent again within its epoch',
    expected: 'ignored',
    defence: 'the counter of TRIGGER (protocol.md §5.10)',
    edits: [
      {
        file: TRIGGERS,
        search: 'return this.#last.epoch === frame.epoch && frame.counter <= this.#last.counter;',
        replace: 'return frame.counter < 0;',
      },
    ],
    run: async (scene) => {
      const all = await intercepted(scene, false);
      await pay(all.client, 100);
      const captured = await capturedTrigger(all);
      return obedience(all, captured);
    },
  },
  {
    name: 'a captured TRIGGER is sent again when the session is back where it was',
    expected: 'ignored',
    defence: 'the epoch in TRIGGER (protocol.md §5.10)',
    edits: [
      {
        file: TRIGGERS,
        search: `      this.#core.destroyed ||
      frame.epoch !== this.#core.attachment?.epoch
    )`,
        replace: '      this.#core.destroyed\n    )',
      },
      {
        file: TRIGGERS,
        search: 'return this.#last.epoch === frame.epoch && frame.counter <= this.#last.counter;',
        replace: 'return frame.counter < 0;',
      },
      {
        file: TRIGGERS,
        search: `if (this.#core.state !== 'attached' || frame.epoch !== this.#core.attachment?.epoch) return;`,
        replace: `if (this.#core.state !== 'attached' || !this.#core.attachment) return;`,
      },
    ],
    run: async (scene) => {
      const all = await intercepted(scene);
      await pay(all.client, 100);
      const migrated = once(all.client, 'migrated');
      const captured = await capturedTrigger(all);
      await migrated;
      await all.client.migrate({ to: { name: 'a', host: all.relay.host, port: all.relay.port } });
      await pay(all.client, 1);
      return obedience(all, captured);
    },
  },
  {
    name: 'somebody on the path makes TRIGGER with a key of the cluster that was revoked',
    expected: 'ignored',
    defence: 'clients forget the trigger keys that SUPPORT no longer names (protocol.md §8.5)',
    edits: [
      {
        file: TRIGGERS,
        search: 'this.#good = [id, toHex(frame.otherTriggerKeyId)];',
        replace: 'this.#good = [...this.#good, id, toHex(frame.otherTriggerKeyId)];',
      },
    ],
    run: async (scene) => {
      const keys = new scene.library.KeyRing(CLUSTER_KEY);
      const revoked = keys.newest.idText;
      const all = await intercepted(scene, false, {}, { keys });
      await pay(all.client, 100);
      const isTold = (newest: string, other: string) => (): boolean =>
        all.relay.fromServer.some(
          (frame) =>
            frame.frame === 'support' &&
            Buffer.from(frame.triggerKeyId).toString('hex') === newest &&
            Buffer.from(frame.otherTriggerKeyId).toString('hex') === other,
        );
      const newest = keys.rotate(NEXT_CLUSTER_KEY);
      await waitUntil(isTold(newest, revoked), 'SUPPORT with the new key');
      keys.retire(revoked);
      await waitUntil(isTold(newest, ''), 'SUPPORT without the old key');
      return obedience(all, triggerFrame(all.client, all.b, true));
    },
  },
  {
    name: 'a member that turned sends a client to a foreign host, which accepts the session',
    expected: 'ignored',
    defence: 'ACCEPT proves possession of the secret (protocol.md §8.3)',
    edits: [unverified('accept')],
    run: async (scene) => {
      const all = await intercepted(scene);
      await pay(all.client, 100);
      let isTaken = false;
      all.client.once('migrated', () => (isTaken = true));
      all.relay.inject(triggerFrame(all.client, await rogue(scene), true));
      await once(all.client, 'migrating');
      if (await comesTrue(() => isTaken, 300)) return gained('the session');
      await pay(all.client, 1);
      return refused('ignored');
    },
  },
  {
    name: "a member that turned sends a client to a socket of the client's own machine",
    expected: 'ignored',
    defence: 'a client dials `unix:` only where its application named one (protocol.md §9.5)',
    edits: [
      {
        file: 'carriers/tcp.ts',
        search: 'return unixSockets === true ? { path } : undefined;',
        replace: 'return { path };',
      },
    ],
    run: async (scene) => {
      const all = await intercepted(scene);
      await pay(all.client, 100);
      const folder = mkdtempSync(join(tmpdir(), 'godwit-attack-'));
      scene.defer(() => rmSync(folder, { recursive: true }));
      let isReached = false;
      const local = net.createServer((socket) => {
        isReached = true;
        socket.destroy();
      });
      local.listen(join(folder, 'local'));
      await once(local, 'listening');
      scene.defer(() => void local.close());
      const to = { name: 'c', host: `unix:${join(folder, 'local')}`, port: 0 };
      all.relay.inject(triggerFrame(all.client, to, true));
      await once(all.client, 'migrating');
      if (await comesTrue(() => isReached, 200)) return gained("a connection to the machine's own service");
      await pay(all.client, 1);
      return refused('ignored');
    },
  },
  {
    name: 'somebody on the path tells a client of servers of his own, in SUPPORT',
    expected: 'ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the MAC of SUPPORT (protocol.md §8.3)',
    edits: [unverified('support')],
    run: async (scene) => {
      const { client, relay } = await intercepted(scene);
      await pay(client, 100);
      let servers: readonly { readonly name: string }[] = [];
      client.on('servers', (list) => (servers = list));
      const none = new Uint8Array(0);
      const value: FrameValue<'support'> = {
        epoch: client.epoch,
        delivery: 1,
        keyShare: none,
        nonce: none,
        triggerKeyId: none,
        triggerKey: none,
        otherTriggerKeyId: none,
        credit: 1 << 20,
        servers: [{ name: 'evil', host: '127.0.0.1', port: 9 }],
        mac: WRONG_MAC,
      };
      relay.inject(encodeFrame('support', value));
      return endOf(
        client,
        () => servers.some(({ name }) => name === 'evil'),
        'servers of his own on the list',
      );
    },
  },
  {
    name: 'somebody on the path changes what a client says in OPEN',
    expected: 'ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the MAC of SUPPORT covers OPEN (protocol.md §8.3)',
    edits: [unverified('support')],
    run: async (scene) => {
      let isFirst = true;
      const { client } = await intercepted(scene, true, {
        // `features`, the last field of OPEN, which is the first frame behind the preface.
        toServer: (chunk) => {
          const at = chunk[0] === encodePreface(Role.Client)[0] ? PREFACE_BYTES : 0;
          if (!isFirst || chunk.byteLength <= at + 4) return chunk;
          isFirst = false;
          const length = chunk.readUIntBE(at + 1, 3);
          return Buffer.from(flipBit(chunk, at + 4 + length - 1, 0));
        },
      });
      let isOpen = false;
      client.once('connect', () => (isOpen = true));
      return endOf(client, () => isOpen, 'a session other than its client wanted');
    },
  },
  {
    name: 'somebody on the path makes a client speak an older version',
    expected: 'ERR_GODWIT_VERSION',
    defence: 'a client takes no version but its own (protocol.md §3.3)',
    edits: [
      {
        file: 'session/candidate-race.ts',
        search: 'if (frame.version !== PROTOCOL_VERSION)',
        replace: 'if (frame.version > PROTOCOL_VERSION)',
      },
    ],
    run: async (scene) => {
      let isFirst = true;
      const { client } = await intercepted(scene, true, {
        toClient: (chunk) => {
          if (!isFirst) return chunk;
          isFirst = false;
          const changed = Buffer.from(chunk);
          changed[4] = 0;
          return changed;
        },
      });
      let isOpen = false;
      client.once('connect', () => (isOpen = true));
      return endOf(client, () => isOpen, 'version 0');
    },
  },
];

/** A true TRIGGER of server a, as it went by. */
async function capturedTrigger({ a, b, relay, client }: Intercepted): Promise<Uint8Array> {
  const [socket] = a.server.sessions;
  if (!socket) throw new Error('no session at a');
  void a.server.migrate(socket, { to: b }).catch(() => undefined);
  await once(client, 'migrating');
  // It has moved, or has found nobody there, when this is answered: a dial on this machine takes less time.
  for (let i = 0; i < 3; i += 1) await pay(client, 1);
  const found = relay.fromServer.find((frame) => frame.frame === 'trigger');
  if (found?.frame !== 'trigger') throw new Error('no TRIGGER went by');
  return framePayload('trigger', found.payload);
}
