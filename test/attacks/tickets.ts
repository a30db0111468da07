/** Attacks with tickets: changed, cut, exchanged, too old, of a key that is no longer good (protocol.md §8.4). */
import { setTimeout as delay } from 'node:timers/promises';
import { flipBit } from './bytes.ts';
import { gained, type Attack, type Outcome } from './attack.ts';
import type { Ticket } from '../world/whole-tickets.ts';
import { RawClient, type SessionKnowledge } from './raw-client.ts';
import { CLUSTER_KEY, NEXT_CLUSTER_KEY, type Scene, type SceneServer } from './scene.ts';

/** Where the ciphertext of a sealed head begins, and where in the plaintext the last byte of k is. */
const CIPHERTEXT_AT = 37;
const K_AT = 49;

/** Brings a session to `to`, and says what became of it. */
export async function bring(
  scene: Scene,
  to: SceneServer,
  knowledge: Pick<SessionKnowledge, 'secret' | 'ticket'>,
  change: Parameters<RawClient['migrateFrame']>[1] = {},
): Promise<Outcome> {
  const carrier = await RawClient.connect(scene, to);
  carrier.bytes(carrier.migrateFrame(knowledge, { origin: 'a', ...change }));
  return (await carrier.refusal(() => carrier.find('accept') !== undefined)) ?? gained('the session');
}

/** A ticket that its client has tampered with, at a server that knows nothing of the session. */
async function tampered(scene: Scene, change: (ticket: Ticket) => Partial<Ticket>): Promise<Outcome> {
  const [a, b] = await scene.cluster(['a', 'b']);
  const client = await RawClient.open(scene, a as SceneServer);
  const { secret, ticket } = client.knowledge;
  client.hangUp();
  return bring(scene, b as SceneServer, { secret, ticket: { ...ticket, ...change(ticket) } });
}

const TAG_UNCHECKED = {
  file: 'crypto/ticket-sealing.ts',
  search: `  try {
    decipher.final();
  } catch {
    return undefined;
  }
`,
  replace: '',
};

export const ticketAttacks: readonly Attack[] = [
  {
    name: 'a bit of a ticket head is flipped, which makes its point a newer one',
    expected: 'REFUSE ERR_GODWIT_TICKET_INVALID',
    defence: 'AES-256-GCM: the tag of the head (protocol.md §8.4)',
    edits: [TAG_UNCHECKED],
    run: (scene) => tampered(scene, ({ head }) => ({ head: flipBit(head, CIPHERTEXT_AT + K_AT, 1) })),
  },
  {
    name: 'a ticket is used after its time',
    expected: 'REFUSE ERR_GODWIT_TICKET_EXPIRED',
    defence: 'the expiry in its head (protocol.md §8.4)',
    edits: [
      {
        file: 'crypto/ticket-sealing.ts',
        search: `head.expiresAt <= this.#wallClock() ?`,
        replace: `head.expiresAt < 0 ?`,
      },
    ],
    run: async (scene) => {
      const ticketLifetimeMs = 150;
      const [a, b] = await scene.cluster(['a', 'b'], () => ({ timers: { ticketLifetimeMs } }));
      const client = await RawClient.open(scene, a as SceneServer);
      const { knowledge } = client;
      client.hangUp();
      await delay(ticketLifetimeMs + 20); // what is waited for is the time itself
      return bring(scene, b as SceneServer, knowledge);
    },
  },
  {
    name: 'a ticket is sealed by a key that was revoked',
    expected: 'REFUSE ERR_GODWIT_UNKNOWN_KEY',
    defence: 'the removal of the key from the ring (protocol.md §8.1)',
    run: async (scene) => {
      const rings = {
        a: [CLUSTER_KEY],
        b: scene.isDefended ? [NEXT_CLUSTER_KEY] : [NEXT_CLUSTER_KEY, CLUSTER_KEY],
      };
      const [a, b] = await scene.cluster(['a', 'b'], (name) => ({ keys: name === 'a' ? rings.a : rings.b }));
      const client = await RawClient.open(scene, a as SceneServer);
      const { knowledge } = client;
      client.hangUp();
      return bring(scene, b as SceneServer, knowledge);
    },
  },
];
