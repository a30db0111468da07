/** Attacks with tickets: changed, cut, exchanged, forged, too old, of a key that is no longer good (protocol.md §8.4). */
import { setTimeout as delay } from 'node:timers/promises';
import { KeyRing, random } from '../../packages/godwit/src/crypto/index.ts';
import { TicketSealing } from '../../packages/godwit/src/crypto/ticket-sealing.ts';
import type { TicketHead } from '../../packages/godwit/src/session/index.ts';
import type { Ticket } from '../world/whole-tickets.ts';
import type { Attack, Outcome } from './attack.ts';
import { flipBit, toText } from './bytes.ts';
import { bring } from './bring.ts';
import { RawClient } from './raw-client.ts';
import {
  CLUSTER_KEY,
  NEXT_CLUSTER_KEY,
  type Scene,
  type SceneServer,
  type SceneServerOptions,
} from './scene.ts';

/** Of a sealed head: key id, session id and ciphertext; and where in the plaintext the last byte of k is. */
const KEY_ID_AT = 1;
const SESSION_ID_AT = 9;
const CIPHERTEXT_AT = 37;
const K_AT = 49;
/** Of a sealed body. */
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** No head has room for that. */
const LONG_STATE = { stateBytes: 512 };
/** The state of `tampered`'s client, at the end of its head: a balance. */
const SHORT_STATE_BYTES = 3;
/** What stands at the end of a head: the expiry, and the state behind its length. */
const END_BYTES = 8 + 2 + SHORT_STATE_BYTES;

/** A ticket that its client has tampered with, at a server that knows nothing of the session. */
async function tampered(
  scene: Scene,
  change: (newest: Ticket, before: Ticket, client: RawClient) => Partial<Ticket>,
  options: SceneServerOptions = {},
): Promise<Outcome> {
  const [a, b] = await scene.cluster(['a', 'b'], () => options);
  // States of one length, so that bodies can take each other's place.
  const client = await RawClient.open(scene, a as SceneServer, [100, 150]);
  const { secret, ticket } = client.knowledge;
  client.hangUp();
  const change1 = change(ticket, client.tickets.at(-2) as Ticket, client);
  return bring(scene, b as SceneServer, { secret, ticket: { ...ticket, ...change1 } });
}

const SEALING = 'crypto/ticket-sealing.ts';
const TAG_UNCHECKED = {
  file: SEALING,
  search: `  try {
    decipher.final();
  } catch {
    return undefined;
  }
`,
  replace: '',
};
const HASH_UNCHECKED = {
  file: SEALING,
  search: 'if (!timingSafeEqual(sha256(sealed), head.bodyHash)) return undefined;',
  replace: 'void timingSafeEqual;',
};
/** One key for all sessions. */
const KEY_FOR_ALL = {
  file: SEALING,
  search: 'createSecretKey(key.derive(sessionId, TICKET_INFO))',
  replace: 'createSecretKey(key.derive(sessionId.slice().fill(0), TICKET_INFO))',
};
/** What is missing at the end of a plaintext is made up: a time far ahead, and no state. */
const ENDS_MADE_UP = {
  file: SEALING,
  search: 'return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);',
  replace: 'return Buffer.concat([plaintext, Uint8Array.of(0, 15, 255, 255, 255, 255, 255, 255, 0, 0)]);',
};

export const ticketAttacks: readonly Attack[] = [
  {
    name: 'a bit of a ticket head is flipped, which makes its point a newer one',
    expected: 'REFUSE ERR_GODWIT_TICKET_INVALID',
    defence: 'AES-256-GCM: the tag of the head (protocol.md §8.4)',
    edits: [TAG_UNCHECKED],
    run: (scene) => tampered(scene, ({ head }) => ({ head: flipBit(head, CIPHERTEXT_AT + K_AT, 3) })),
  },
  {
    name: 'the expiry is cut off a ticket head',
    expected: 'REFUSE ERR_GODWIT_TICKET_INVALID',
    defence: 'AES-256-GCM: the tag of the head (protocol.md §8.4)',
    edits: [TAG_UNCHECKED, ENDS_MADE_UP],
    run: (scene) =>
      tampered(scene, ({ head }) => {
        const tagAt = head.byteLength - TAG_BYTES;
        return { head: Buffer.concat([head.subarray(0, tagAt - END_BYTES), head.subarray(tagAt)]) };
      }),
  },
  {
    name: 'a bit of the state in a ticket head is flipped: the balance becomes another',
    expected: 'REFUSE ERR_GODWIT_TICKET_INVALID',
    defence: 'AES-256-GCM: the tag of the head (protocol.md §8.4)',
    edits: [TAG_UNCHECKED],
    run: (scene) =>
      tampered(scene, ({ head }) => ({
        head: flipBit(head, head.byteLength - TAG_BYTES - SHORT_STATE_BYTES, 2),
      })),
  },
  {
    name: 'a bit of a ticket body is flipped: the balance becomes another',
    expected: 'REFUSE ERR_GODWIT_TICKET_INVALID',
    defence: 'the hash of the body in the head, and its tag (protocol.md §8.4)',
    edits: [TAG_UNCHECKED, HASH_UNCHECKED],
    run: (scene) => tampered(scene, ({ body }) => ({ body: flipBit(body, IV_BYTES, 2) }), LONG_STATE),
  },
  {
    name: 'the state of an older ticket comes with the head of a newer one',
    expected: 'REFUSE ERR_GODWIT_TICKET_INVALID',
    defence: 'the hash of the body in the head, and its associated data (protocol.md §8.4)',
    edits: [TAG_UNCHECKED, HASH_UNCHECKED],
    run: (scene) => tampered(scene, (_newest, { body }) => ({ body }), LONG_STATE),
  },
  {
    name: "a ticket carries another session's state",
    expected: 'REFUSE ERR_GODWIT_TICKET_INVALID',
    defence: 'the hash of the body in the head, and a key of its own for each session (protocol.md §8.4)',
    edits: [TAG_UNCHECKED, HASH_UNCHECKED, KEY_FOR_ALL],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b'], () => LONG_STATE);
      const poor = await RawClient.open(scene, a as SceneServer, [100]);
      const rich = await RawClient.open(scene, a as SceneServer, [999]);
      const { secret, ticket } = poor.knowledge;
      poor.hangUp();
      return bring(scene, b as SceneServer, { secret, ticket: { ...ticket, body: rich.ticket.body } });
    },
  },
  {
    name: "a ticket says that it is another session's",
    expected: 'REFUSE ERR_GODWIT_TICKET_INVALID',
    defence: 'the session id in the associated data, and in the key of the ticket (protocol.md §8.4)',
    edits: [TAG_UNCHECKED, KEY_FOR_ALL],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const thief = await RawClient.open(scene, a as SceneServer, [100]);
      const victim = await RawClient.open(scene, a as SceneServer, [100]);
      const { secret, ticket } = thief.knowledge;
      const head = ticket.head.slice();
      head.set(victim.sessionId, SESSION_ID_AT);
      return bring(scene, b as SceneServer, { secret, ticket: { ...ticket, head } });
    },
  },
  {
    name: "another client's ticket is presented under one's own secret",
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the proof is verified under the secret in the ticket (protocol.md §10.5)',
    edits: [
      {
        file: 'session/destination.ts',
        search: `        if (!ok) otherwise();
        else this.#authorize(attach, then);`,
        replace: `        void ok, otherwise;
        this.#authorize(attach, then);`,
      },
    ],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const victim = await RawClient.open(scene, a as SceneServer);
      const thief = await RawClient.open(scene, a as SceneServer);
      return bring(scene, b as SceneServer, { secret: thief.secret, ticket: victim.ticket });
    },
  },
  {
    name: 'a ticket is forged by somebody who has no key of the cluster, under the name of one',
    expected: 'REFUSE ERR_GODWIT_TICKET_INVALID',
    defence: 'the secrecy of the cluster key (protocol.md §8.1)',
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const client = await RawClient.open(scene, a as SceneServer);
      const key = scene.isDefended ? KeyRing.generateKey() : CLUSTER_KEY;
      return bring(scene, b as SceneServer, forgedTicket(client, key));
    },
  },
  {
    name: 'a ticket is used after its time',
    expected: 'REFUSE ERR_GODWIT_TICKET_EXPIRED',
    defence: 'the expiry in its head (protocol.md §8.4)',
    edits: [
      {
        file: SEALING,
        search: 'head.expiresAt <= this.#wallClock() ?',
        replace: 'head.expiresAt < 0 ?',
      },
    ],
    run: async (scene) => {
      const ticketLifetimeMs = 200;
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
      const [a, b] = await scene.cluster(['a', 'b'], (name) => ({
        keys: [name === 'a' ? CLUSTER_KEY : NEXT_CLUSTER_KEY],
      }));
      const client = await RawClient.open(scene, a as SceneServer);
      const { knowledge } = client;
      client.hangUp();
      if (scene.isDefended) return bring(scene, b as SceneServer, knowledge);
      const [member] = await scene.members('c');
      const c = await scene.listen(member as SceneServer, { keys: [NEXT_CLUSTER_KEY, CLUSTER_KEY] });
      return bring(scene, c, knowledge);
    },
  },
  {
    name: 'a ticket of one service is used at another',
    expected: 'REFUSE ERR_GODWIT_WRONG_SERVICE',
    defence: 'the service in the ticket (protocol.md §10.5)',
    edits: [
      {
        file: 'session/restore-rules.ts',
        search: 'if (head.service !== config.service || migrate.service !== config.service)',
        replace: 'if (migrate.service !== config.service)',
      },
    ],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b'], (name) => ({ service: name === 'a' ? '' : 'vault' }));
      const client = await RawClient.open(scene, a as SceneServer);
      return bring(scene, b as SceneServer, client, { service: 'vault' });
    },
  },
  {
    name: 'STANDBY is asked for with the ticket of somebody else',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the proof in STANDBY (protocol.md §5.4)',
    edits: [
      {
        file: 'session/entrance.ts',
        search: '          if (!ok) {',
        replace: '          if (!ok && false) {',
      },
    ],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const victim = await RawClient.open(scene, a as SceneServer);
      const thief = await RawClient.connect(scene, b as SceneServer);
      thief.bytes(thief.standbyFrame({ secret: random(32), ticket: victim.ticket }));
      return thief.standbyOutcome();
    },
  },
  {
    name: 'a captured STANDBY is sent again on another carrier',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'a nonce for each carrier (protocol.md §3.3)',
    edits: [
      {
        file: 'session/server-node.ts',
        search: 'const nonce = random(NONCE_BYTES);',
        replace: 'const nonce = random(NONCE_BYTES).fill(0);',
      },
    ],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const client = await RawClient.open(scene, a as SceneServer);
      const standby = await RawClient.connect(scene, b as SceneServer);
      const captured = standby.standbyFrame(client);
      standby.bytes(captured);
      await standby.standbyOutcome();
      const thief = await RawClient.connect(scene, b as SceneServer);
      thief.bytes(captured);
      return thief.standbyOutcome();
    },
  },
];

/** A ticket of this client's session with a state of the forger's choice, under the id of the key that sealed the true one. */
export function forgedTicket(client: RawClient, key: string): { secret: Uint8Array; ticket: Ticket } {
  const { epoch, k, input, output, head: trueHead } = client.ticket;
  const head: TicketHead = {
    sessionId: client.sessionId,
    secret: client.secret,
    epoch,
    k,
    input,
    output,
    inputFinished: false,
    outputFinished: false,
    terminal: false,
    delivery: 1,
    schema: 0,
    service: '',
    server: 'a',
    host: '127.0.0.1',
    port: 1,
    bodyHash: new Uint8Array(32),
    bodyBytes: 0,
    expiresAt: Date.now() + 60_000,
    state: new Uint8Array(0),
  };
  const sealing = new TicketSealing({ ring: KeyRing.from(key), wallClock: () => Date.now() });
  const sealed = sealing.seal(head, toText('1000000'));
  const named = sealed.head.slice();
  named.set(trueHead.subarray(KEY_ID_AT, SESSION_ID_AT), KEY_ID_AT);
  return { secret: client.secret, ticket: { epoch, k, input, output, head: named, body: sealed.body } };
}
