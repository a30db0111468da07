/** Attacks on the links between servers: impostors, and members that turned (protocol.md §9). */
import { PeerChannel } from '../../packages/godwit/src/cluster/peer-channel.ts';
import { KeyRing, random } from '../../packages/godwit/src/crypto/index.ts';
import {
  PREFACE_BYTES,
  encodePeerFrame,
  errorCodeOf,
  type PeerFrame,
} from '../../packages/godwit/src/wire/index.ts';
import { gained, refused, type Attack, type Outcome } from './attack.ts';
import { RawClient } from './raw-client.ts';
import { RawPeer, refusalAt } from './raw-peer.ts';
import { CLUSTER_KEY, NEXT_CLUSTER_KEY, type Member, type Scene, type SceneServer } from './scene.ts';
import { comesTrue, waitUntil } from './wait-until.ts';

const CHANNEL = 'cluster/peer-channel.ts';
const ORIGIN = 'session/origin.ts';
const EVIL: Member = { name: 'evil', host: '127.0.0.1', port: 1 };

/** An origin that believes whatever a member says of its clients. */
const PULL_UNCHECKED = {
  file: ORIGIN,
  search: 'if (!ok || migrate.origin !== this.#host.config.name) then(undefined, undefined);',
  replace: 'if (!ok && migrate.origin === "") then(undefined, undefined);',
};

/** Why the link was not let in. */
async function linkOutcome(server: SceneServer, isGained: () => boolean): Promise<Outcome> {
  const code = await refusalAt(server, isGained);
  return code === undefined ? gained('a link between servers') : refused(`closed ${code}`);
}

/** A session at `a`, and a member that has the keys and wants it. */
async function besieged(scene: Scene): Promise<{ a: SceneServer; client: RawClient; member: RawPeer }> {
  const [a] = await scene.cluster(['a']);
  const client = await RawClient.open(scene, a as SceneServer);
  const member = await RawPeer.dial(scene, a as SceneServer, { key: CLUSTER_KEY, self: EVIL });
  await waitUntil(() => member.isOpen, 'link');
  return { a: a as SceneServer, client, member };
}

/** MIGRATE that somebody made up for the session of `client`, or that `client` made for another server. */
async function migrateOf(
  scene: Scene,
  a: SceneServer,
  client: RawClient,
  change: { readonly secret?: Uint8Array; readonly serverName?: string },
): Promise<{ migrate: Uint8Array; nonce: Uint8Array }> {
  const carrier = await RawClient.connect(scene, a);
  const { secret, ticket } = { ...client.knowledge, ...change };
  const nonce = random(16);
  const { serverName = EVIL.name } = change;
  const frame = carrier.migrateFrame(
    { secret, ticket },
    { origin: 'a', originState: 0, epoch: 9 },
    { nonce, serverName },
  );
  return { migrate: frame.subarray(4), nonce };
}

async function pullOutcome(
  member: RawPeer,
  client: RawClient,
  made: { migrate: Uint8Array; nonce: Uint8Array },
): Promise<Outcome> {
  member.send(
    encodePeerFrame('pull', { requestId: 1, sessionId: client.sessionId, deadlineMs: 1000, ...made }),
  );
  const answer = (): PeerFrame | undefined =>
    member.frames.find(({ frame }) => frame === 'pullRefused' || frame === 'state');
  await waitUntil(() => answer() !== undefined, 'answer to PULL');
  const found = answer();
  return found?.frame === 'pullRefused'
    ? refused(`PULL_REFUSED ${errorCodeOf(found.code)}`)
    : gained('the state of the session');
}

/** A server that asks for the session at an origin, whose address somebody else has taken. */
async function pulled(
  scene: Scene,
  key: string,
  answer: (frame: PeerFrame<'pull'>, link: RawPeer) => void,
): Promise<{ carrier: RawClient }> {
  const members = await scene.members('a', 'b');
  const [at, other] = members as [Member, Member];
  const a = await scene.listen(at, { members });
  const b = await scene.listen(other, { members });
  const client = await RawClient.open(scene, a);
  a.server.kill();
  await RawPeer.listen(scene, at, { key, self: at }, (frame, link) => {
    if (frame.frame === 'pull') answer(frame, link);
  });
  const carrier = await RawClient.connect(scene, b);
  carrier.bytes(carrier.migrateFrame(client, { origin: 'a', originState: 0 }));
  return { carrier };
}

export const peerAttacks: readonly Attack[] = [
  {
    name: 'somebody without a key of the cluster links to a server as a peer',
    expected: 'closed ERR_GODWIT_UNKNOWN_KEY',
    defence: 'the secrecy of the cluster key (protocol.md §9.1)',
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const key = scene.isDefended ? KeyRing.generateKey() : CLUSTER_KEY;
      const link = await RawPeer.dial(scene, a as SceneServer, { key, self: EVIL });
      return linkOutcome(a as SceneServer, () => link.isOpen);
    },
  },
  {
    name: 'somebody goes on over a link between servers, which he made with a key that is revoked by now',
    expected: 'closed ERR_GODWIT_UNKNOWN_KEY',
    defence: 'a link ends with the key that it was made with (protocol.md §9.1)',
    edits: [
      {
        file: 'cluster/peer-links.ts',
        search: 'for (const link of this.#allLinks()) link.endIfRevoked();',
        replace: '',
      },
    ],
    run: async (scene) => {
      const keys = new scene.library.KeyRing([NEXT_CLUSTER_KEY, CLUSTER_KEY]);
      const [a] = await scene.cluster(['a'], () => ({ keys }));
      const link = await RawPeer.dial(scene, a as SceneServer, { key: CLUSTER_KEY, self: EVIL });
      await waitUntil(() => link.isOpen, 'link');
      keys.replace([NEXT_CLUSTER_KEY]);
      link.send(encodePeerFrame('peerPing', { token: 1 }));
      return linkOutcome(a as SceneServer, () => link.frames.some(({ frame }) => frame === 'peerPong'));
    },
  },
  {
    name: 'somebody links to a server as a peer under the id of a key that he does not have',
    expected: 'closed ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the secrecy of the cluster key, which Noise NNpsk0 mixes in (protocol.md §9.1)',
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const key = scene.isDefended ? KeyRing.generateKey() : CLUSTER_KEY;
      const channel = PeerChannel.initiate({ ring: KeyRing.from(key), self: EVIL }, 'a');
      const hello = Buffer.concat(channel.takeOutput());
      hello.set(KeyRing.from(CLUSTER_KEY).newest.id, PREFACE_BYTES + 2);
      const dialled = await RawClient.dial(scene, a as SceneServer);
      let answered = 0;
      dialled.socket.removeAllListeners('data').on('data', (chunk: Buffer) => (answered += chunk.byteLength));
      dialled.bytes(hello);
      return linkOutcome(a as SceneServer, () => answered > 0);
    },
  },
  {
    name: 'a HELLO that was captured is sent again, and FINISH made up',
    expected: 'closed ERR_GODWIT_UNAUTHENTICATED',
    defence: 'a responder believes nothing before FINISH (protocol.md §9.1)',
    edits: [
      {
        file: CHANNEL,
        search: `    if (plaintext === undefined)
      throw new ProtocolError(WireCode.Unauthenticated, 'a record of a peer link was tampered with');
    return plaintext;`,
        replace: '    return plaintext ?? NOTHING;',
      },
    ],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const channel = PeerChannel.initiate({ ring: KeyRing.from(CLUSTER_KEY), self: EVIL }, 'a');
      const captured = Buffer.concat(channel.takeOutput());
      const dialled = await RawClient.dial(scene, a as SceneServer);
      let answered = 0;
      dialled.socket.removeAllListeners('data').on('data', (chunk: Buffer) => (answered += chunk.byteLength));
      dialled.bytes(captured);
      await waitUntil(() => answered > 0, 'REPLY');
      dialled.bytes(Buffer.concat([Buffer.from([0, 16]), random(16)]));
      const { refusals } = a as SceneServer;
      // A link that is believed is open; one that is not is refused at once.
      return (await comesTrue(() => refusals.length > 0, 200))
        ? refused(`closed ${refusals[0]?.code}`)
        : gained('a link in the name of a member');
    },
  },
  {
    name: "a member's HELLO is passed on to another server than it was made for",
    expected: 'closed ERR_GODWIT_DENIED',
    defence: 'HELLO names whom it is for (protocol.md §9.1)',
    edits: [{ file: CHANNEL, search: 'if (to !== self.name)', replace: 'if (to === "")' }],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const link = await RawPeer.dial(scene, a as SceneServer, { key: CLUSTER_KEY, self: EVIL }, 'b');
      // The member itself would notice; what counts is that the server answers.
      return linkOutcome(a as SceneServer, () => link.socket.bytesRead > 0);
    },
  },
  {
    name: 'a member pulls a session whose client did not ask for it',
    expected: 'PULL_REFUSED ERR_GODWIT_UNAUTHENTICATED',
    defence: "the origin verifies the client's own proof (protocol.md §9.3)",
    edits: [PULL_UNCHECKED],
    run: async (scene) => {
      const { a, client, member } = await besieged(scene);
      return pullOutcome(member, client, await migrateOf(scene, a, client, { secret: random(32) }));
    },
  },
  {
    name: 'a member pulls a session with a MIGRATE that its client made for another server',
    expected: 'PULL_REFUSED ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the proof names the destination, which the link has authenticated (protocol.md §9.3)',
    edits: [
      {
        file: ORIGIN,
        search: 'new TextEncoder().encode(peer.name)',
        replace: `new TextEncoder().encode('b')`,
      },
    ],
    run: async (scene) => {
      const { a, client, member } = await besieged(scene);
      return pullOutcome(member, client, await migrateOf(scene, a, client, { serverName: 'b' }));
    },
  },
  {
    name: 'a member releases a session whose client went nowhere',
    expected: 'ignored',
    defence: "the former server verifies the client's own proof (protocol.md §9.4)",
    edits: [PULL_UNCHECKED],
    run: async (scene) => {
      const { a, client, member } = await besieged(scene);
      const made = await migrateOf(scene, a, client, { secret: random(32) });
      member.send(
        encodePeerFrame('release', { sessionId: client.sessionId, ...made }),
        encodePeerFrame('peerPing', { token: 1 }),
      );
      await waitUntil(() => member.frames.some(({ frame }) => frame === 'peerPong'), 'PEER_PONG');
      if (await comesTrue(() => client.isClosed, 50)) return gained('the end of the session');
      await client.pay(1);
      return refused('ignored');
    },
  },
  {
    name: 'somebody without a key answers for the origin of a session, and says that it has ended',
    expected: 'REFUSE ERR_GODWIT_ORIGIN_UNREACHABLE',
    defence: 'the secrecy of the cluster key (protocol.md §9.1)',
    run: async (scene) => {
      const key = scene.isDefended ? KeyRing.generateKey() : CLUSTER_KEY;
      const { carrier } = await pulled(scene, key, ({ requestId }, link) => {
        link.send(encodePeerFrame('gone', { requestId, ended: true }));
      });
      const isEnded = (): boolean => carrier.verdict?.includes('SESSION_ENDED') === true;
      return (await carrier.refusal(isEnded)) ?? gained('the end of the session');
    },
  },
  {
    name: 'a member hands over a state that is larger than any server takes',
    expected: 'REFUSE ERR_GODWIT_LIMIT_EXCEEDED',
    defence: 'lengths of STATE are checked before anything is kept (protocol.md §9.3)',
    edits: [
      {
        file: 'session/session-transfer.ts',
        search: 'header.bodyBytes > limits.maxStateBytes ||',
        replace: 'header.bodyBytes < 0 ||',
      },
    ],
    run: async (scene) => {
      const bodyBytes = 4 * 1024 * 1024;
      const { carrier } = await pulled(scene, CLUSTER_KEY, ({ requestId, sessionId }, link) => {
        const nothing = { inputFinished: false, outputFinished: false, terminal: false, receivedFin: false };
        const point = { epoch: 1, k: 1, input: 3, output: 4, tailFrom: 4, schema: 0 };
        const lengths = { bodyBytes, logBytes: 0, tailBytes: 0 };
        link.send(encodePeerFrame('state', { requestId, sessionId, ...point, ...nothing, ...lengths }));
        const bytes = new Uint8Array(32 * 1024);
        for (let sent = 0; sent < bodyBytes; sent += bytes.byteLength)
          link.send(encodePeerFrame('stateChunk', { requestId, bytes }));
      });
      return (await carrier.refusal(() => carrier.find('accept') !== undefined)) ?? gained('4 MiB of memory');
    },
  },
];
