/** What a client can do that lies, and a server that was left behind: stopped by a fence alone (protocol.md §10.10). */
import type { ServerOptions } from 'godwit';
import { gained, refused, type Attack } from './attack.ts';
import { bring } from './bring.ts';
import { RawClient } from './raw-client.ts';
import type { Scene, SceneServer } from './scene.ts';
import { comesTrue, waitUntil } from './wait-until.ts';

/** With a fence where the attack is to be stopped. */
function fenced(scene: Scene, options: ServerOptions = {}): () => ServerOptions {
  const fence = scene.library.createLocalFence();
  return () => (scene.isDefended ? { fence, ...options } : {});
}

const SETTING = '`fence`: one for all servers (createLocalFence, or a store)';

/** Where a copy goes that its client never confirmed. */
const LATE_OFFERS = [
  { name: 'has it handed over to a third server', to: 'c' },
  { name: 'comes back to it', to: 'b' },
] as const;

export const fenceAttacks: readonly Attack[] = [
  {
    name: 'a client goes back to an older ticket, at a server that knows no better',
    expected: 'REFUSE ERR_GODWIT_STALE_POINT',
    defence: 'a fence (protocol.md §10.10)',
    setting: SETTING,
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b'], fenced(scene));
      const client = await RawClient.open(scene, a as SceneServer, [100, -30, -30]);
      const ticket = client.tickets.at(-3);
      if (!ticket) throw new Error('too few tickets');
      return bring(scene, b as SceneServer, { secret: client.secret, ticket });
    },
  },
  {
    name: 'a client goes back by the one ticket that it has not acknowledged',
    expected: 'REFUSE ERR_GODWIT_STALE_POINT',
    defence: 'a fence whose floor is what was released (protocol.md §10.10)',
    setting: "`fenceFloor: 'released'`, with a `fence`",
    run: async (scene) => {
      const fence = scene.library.createLocalFence();
      const fenceFloor = scene.isDefended ? 'released' : 'acknowledged';
      const [a, b] = await scene.cluster(['a', 'b'], () => ({ fence, fenceFloor }));
      const client = await RawClient.open(scene, a as SceneServer, [100, -30]);
      const ticket = client.tickets.at(-2);
      if (!ticket) throw new Error('too few tickets');
      return bring(scene, b as SceneServer, { secret: client.secret, ticket });
    },
  },
  ...LATE_OFFERS.map(({ name, to }): Attack => ({
    name: `a client keeps an offer until its session has gone on elsewhere, and ${name}`,
    expected: 'REFUSE ERR_GODWIT_STALE_POINT',
    defence: 'the fence is asked before what was never confirmed is taken (protocol.md §10.10)',
    edits: [
      {
        file: 'session/session-attachment.ts',
        search: 'if (!fence || this.#core.confirmed) {',
        replace: 'if (!fence || this.#core.acceptPayload || this.#core.confirmed) {',
      },
    ],
    run: async (scene) => {
      const fence = scene.library.createLocalFence();
      const [a, b, c] = (await scene.cluster(['a', 'b', 'c'], () => ({ fence }))) as [
        SceneServer,
        SceneServer,
        SceneServer,
      ];
      const client = await RawClient.open(scene, a);
      const { secret, ticket } = client.knowledge;
      const offer = await RawClient.connect(scene, b);
      offer.bytes(offer.migrateFrame(client, { origin: 'a' }));
      const { epoch } = await offer.next('accept');
      // The copy makes a point of its own, which is newer than any that will be made at `a`.
      offer.data(new TextEncoder().encode('1'));
      await offer.until(() => offer.frames.some(({ frame }) => frame === 'data'), 'output');
      for (const amount of [-30, -30, -30]) await client.pay(amount);
      return bring(
        scene,
        to === 'c' ? c : b,
        { secret, ticket },
        { origin: 'b', originEpoch: epoch, originState: 0, epoch: epoch + 1 },
      );
    },
  })),
  {
    name: 'a client forks itself: two servers get one session under one epoch',
    expected: 'closed at all but one',
    defence: 'a fence (protocol.md §10.10)',
    setting: SETTING,
    run: async (scene) => {
      const [a, ...others] = await scene.cluster(['a', 'b', 'c'], fenced(scene));
      const client = await RawClient.open(scene, a as SceneServer);
      const forks: RawClient[] = [];
      for (const other of others) {
        const fork = await RawClient.connect(scene, other);
        fork.bytes(fork.migrateFrame(client, { origin: 'a' }));
        await fork.next('accept');
        forks.push(fork);
      }
      for (const fork of forks) await fork.confirm(client.secret);
      const isSettled = (fork: RawClient): boolean => fork.isClosed || fork.find('support') !== undefined;
      await waitUntil(() => forks.every(isSettled), 'verdict on each');
      const live = forks.filter((fork) => !fork.isClosed);
      return live.length === 1 ? refused('closed at all but one') : gained(`${live.length} live copies`);
    },
  },
  {
    name: 'a client brings an ended session back where nobody remembers its end',
    expected: 'REFUSE ERR_GODWIT_SESSION_ENDED',
    defence: 'a fence (protocol.md §10.10)',
    setting: SETTING,
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b'], fenced(scene));
      const client = await RawClient.open(scene, a as SceneServer);
      await client.close(client, 1);
      return bring(scene, b as SceneServer, client);
    },
  },
  {
    name: 'a server that was left behind goes on with the session, and releases tickets',
    expected: 'closed',
    defence: 'a fence (protocol.md §10.10)',
    setting: SETTING,
    run: async (scene) => {
      const options = fenced(scene);
      const [a, b] = await scene.cluster(['a', 'b'], () => ({
        ...options(),
        // RELEASE, which does without a fence where it arrives, comes too late.
        timers: { releaseDelayMs: 10_000 },
      }));
      const client = await RawClient.open(scene, a as SceneServer);
      const fork = await RawClient.connect(scene, b as SceneServer);
      fork.bytes(fork.migrateFrame(client, { origin: 'a' }));
      await fork.confirm(client.secret);
      await fork.next('support');
      const { k } = client.ticket;
      client.data(new TextEncoder().encode('1'));
      await comesTrue(() => client.isClosed || client.ticket.k > k, 2000);
      return client.isClosed ? refused('closed') : gained('a ticket of a history that is none');
    },
  },
];
