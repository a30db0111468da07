/** Attacks with OPEN and MIGRATE: forged, captured and sent again, with impossible epochs (protocol.md §5.5, §10.5). */
import { gained, refused, type Attack } from './attack.ts';
import { bring } from './bring.ts';
import { RawClient } from './raw-client.ts';
import type { SceneServer } from './scene.ts';

const DESTINATION = 'session/destination.ts';
const NODE = 'session/server-node.ts';
const PROOF_UNCHECKED = {
  file: DESTINATION,
  search: `        if (!ok) otherwise();
        else this.#authorize(attach, then);`,
  replace: `        void ok, otherwise;
        this.#authorize(attach, then);`,
};
/** All carriers have the same CHALLENGE. */
const NO_FRESHNESS = {
  file: NODE,
  search: 'const nonce = random(NONCE_BYTES);',
  replace: 'const nonce = random(NONCE_BYTES).fill(0);',
};
/** Servers have no names. */
const NO_SERVER_NAME = [
  { file: NODE, search: 'nonce, serverName: name }', replace: `nonce, serverName: '' }` },
  {
    file: DESTINATION,
    search: 'new TextEncoder().encode(this.#host.config.name), attach.nonce',
    replace: `new TextEncoder().encode(''), attach.nonce`,
  },
];
const EPOCH_UNCHECKED = {
  file: DESTINATION,
  search: 'if (migrate.epoch <= session.highestEpoch)',
  replace: 'if (migrate.epoch < 0)',
};
const NO_TOMBSTONES = {
  file: 'session/restore-rules.ts',
  search: `stone?.kind === 'ended' && head.epoch <= stone.epoch &&`,
  replace: `stone?.kind === 'ended' && head.epoch < 0 &&`,
};
const MAX_EPOCH = 2 ** 48 - 1;

export const migrateAttacks: readonly Attack[] = [
  {
    name: 'MIGRATE is forged by somebody who captured a ticket, and has no secret',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the MAC under the secret of the session (protocol.md §8.3)',
    edits: [PROOF_UNCHECKED],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const client = await RawClient.open(scene, a as SceneServer);
      return bring(scene, b as SceneServer, { secret: new Uint8Array(32), ticket: client.ticket });
    },
  },
  {
    name: 'MIGRATE is forged for a session that lives here, to take it from its client',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the MAC under the secret of the session (protocol.md §8.3)',
    edits: [PROOF_UNCHECKED],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.open(scene, a as SceneServer);
      return bring(scene, a as SceneServer, { secret: new Uint8Array(32), ticket: client.ticket });
    },
  },
  {
    name: 'a captured MIGRATE is sent again to the same server',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'a nonce for each carrier, and epochs that rise (protocol.md §3.3, §2.4)',
    edits: [NO_FRESHNESS, EPOCH_UNCHECKED],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const client = await RawClient.open(scene, a as SceneServer);
      const { captured } = await moved(client, await RawClient.connect(scene, b as SceneServer));
      const thief = await RawClient.connect(scene, b as SceneServer);
      thief.bytes(captured);
      return (await thief.refusal(() => thief.find('accept') !== undefined)) ?? gained('the session');
    },
  },
  {
    name: 'a captured MIGRATE is sent again to another server',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'a proof that covers the name of the server and the nonce of the carrier (protocol.md §3.3)',
    edits: [NO_FRESHNESS, ...NO_SERVER_NAME],
    run: async (scene) => {
      const [a, b, c] = await scene.cluster(['a', 'b', 'c']);
      const client = await RawClient.open(scene, a as SceneServer);
      const { captured } = await moved(client, await RawClient.connect(scene, b as SceneServer));
      const thief = await RawClient.connect(scene, c as SceneServer);
      thief.bytes(captured);
      return (await thief.refusal(() => thief.find('accept') !== undefined)) ?? gained('a second copy');
    },
  },
  {
    name: 'a captured MIGRATE is sent again after the session has ended',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'a nonce for each carrier, and tombstones (protocol.md §3.3, §10.8)',
    edits: [NO_FRESHNESS, NO_TOMBSTONES],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const client = await RawClient.open(scene, a as SceneServer);
      const carrier = await RawClient.connect(scene, b as SceneServer);
      const { captured } = await moved(client, carrier);
      await carrier.close(client, 2);
      const thief = await RawClient.connect(scene, b as SceneServer);
      thief.bytes(captured);
      return (await thief.refusal(() => thief.find('accept') !== undefined)) ?? gained('the dead session');
    },
  },
  {
    name: 'a client brings its ended session back by a ticket, where it ended',
    expected: 'REFUSE ERR_GODWIT_SESSION_ENDED',
    defence: 'tombstones (protocol.md §10.8)',
    edits: [NO_TOMBSTONES],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.open(scene, a as SceneServer);
      await client.close(client, 1);
      return bring(scene, a as SceneServer, client);
    },
  },
  {
    name: 'a client brings its ended session to another server, which asks where it ended',
    expected: 'REFUSE ERR_GODWIT_SESSION_ENDED',
    defence: 'GONE says that it ended (protocol.md §9.4)',
    edits: [
      {
        file: 'session/origin.ts',
        search: `if (stone?.kind !== 'ended' ||`,
        replace: `if (stone?.kind !== 'moved' ||`,
      },
    ],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const client = await RawClient.open(scene, a as SceneServer);
      await client.close(client, 1);
      return bring(scene, b as SceneServer, client, { originState: 0 });
    },
  },
  {
    name: 'a second carrier attaches under an epoch that was used',
    expected: 'REFUSE ERR_GODWIT_STALE_EPOCH',
    defence: 'a server takes only epochs above the highest it has seen (protocol.md §2.4)',
    edits: [EPOCH_UNCHECKED],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const client = await RawClient.open(scene, a as SceneServer);
      await moved(client, await RawClient.connect(scene, b as SceneServer));
      return bring(scene, b as SceneServer, client);
    },
  },
  {
    name: 'MIGRATE is forged with the highest epoch there is, to use up those of its client',
    expected: 'ignored',
    defence: 'nothing of a MIGRATE counts before its proof (invariant I8)',
    edits: [PROOF_UNCHECKED],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.open(scene, a as SceneServer);
      const forged = { secret: new Uint8Array(32), ticket: client.ticket };
      await bring(scene, a as SceneServer, forged, { epoch: MAX_EPOCH });
      const back = await bring(scene, a as SceneServer, client);
      return 'refused' in back ? gained(`its client is turned away: ${back.refused}`) : refused('ignored');
    },
  },
  {
    name: 'OPEN comes with the highest epoch there is',
    expected: 'REFUSE ERR_GODWIT_LIMIT_EXCEEDED',
    defence: '`MAX_OPEN_EPOCH` (protocol.md §5.5)',
    edits: [
      {
        file: 'session/entrance.ts',
        search: 'if (open.epoch > MAX_OPEN_EPOCH)',
        replace: 'if (open.epoch < 0)',
      },
    ],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.connect(scene, a as SceneServer);
      client.bytes(client.openFrame({ epoch: MAX_EPOCH }));
      return (
        (await client.refusal(() => client.find('support') !== undefined)) ??
        gained('an epoch nobody is above')
      );
    },
  },
  {
    name: 'OPEN comes with the id of a session that lives here',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'whose client has answered is not replaced (protocol.md §5.5)',
    edits: [
      {
        file: 'session/entrance.ts',
        search: 'if (session?.isEstablished || stone?.established)',
        replace: 'if (stone?.established)',
      },
    ],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const victim = await RawClient.open(scene, a as SceneServer);
      const stranger = await RawClient.connect(scene, a as SceneServer);
      stranger.sessionId = victim.sessionId;
      stranger.bytes(stranger.openFrame({ epoch: 5 }));
      return (await stranger.refusal(() => stranger.find('support') !== undefined)) ?? gained('its place');
    },
  },
  {
    name: 'somebody who overheard the id of a session ends one of his own under it, where it then goes',
    expected: 'the session goes on',
    defence: 'a tombstone holds the secret of what ended (protocol.md §10.5)',
    edits: [
      {
        file: 'session/restore-rules.ts',
        search: 'head.epoch <= stone.epoch && equalBytes(stone.secret, head.secret))',
        replace: 'head.epoch <= stone.epoch)',
      },
    ],
    run: async (scene) => {
      const [a, b] = (await scene.cluster(['a', 'b'])) as [SceneServer, SceneServer];
      const victim = await RawClient.open(scene, a);
      const stranger = await RawClient.connect(scene, b);
      stranger.sessionId = victim.sessionId;
      await stranger.openSession();
      await stranger.pay(1);
      await stranger.close(stranger, 1);
      a.server.kill();
      const outcome = await bring(scene, b, victim);
      return 'gained' in outcome
        ? refused('the session goes on')
        : gained(`the end of another's session: ${outcome.refused}`);
    },
  },
  {
    name: 'the key share in OPEN is of low order, so that everybody knows the secret',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'a shared secret of zeros is refused (protocol.md §8.2)',
    edits: [
      {
        file: 'crypto/key-agreement.ts',
        search: `  } catch {
    return undefined;
  }`,
        replace: `  } catch {
    return Buffer.alloc(SHARE_BYTES);
  }`,
      },
    ],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.connect(scene, a as SceneServer);
      client.bytes(client.openFrame({ keyShare: new Uint8Array(32) }));
      return (
        (await client.refusal(() => client.find('support') !== undefined)) ?? gained('a secret that is none')
      );
    },
  },
  {
    name: 'a client whom the application does not want brings a session',
    expected: 'REFUSE ERR_GODWIT_DENIED',
    defence: 'the `authorize` of the application (protocol.md §10.5)',
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b'], (name) =>
        scene.isDefended && name === 'b' ? { authorize: ({ kind }) => kind === 'open' } : {},
      );
      return bring(scene, b as SceneServer, await RawClient.open(scene, a as SceneServer));
    },
  },
];

/** The client takes its session to the server of that carrier, and somebody listens. */
async function moved(client: RawClient, carrier: RawClient): Promise<{ captured: Uint8Array }> {
  const captured = carrier.migrateFrame(client, { origin: 'a' });
  carrier.bytes(captured);
  await carrier.confirm(client.secret);
  await carrier.next('support');
  return { captured };
}
