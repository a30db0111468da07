/** What can be learnt from how long an answer takes. */
import { once } from 'node:events';
import { random } from '../../packages/godwit/src/crypto/index.ts';
import { macedPart } from '../../packages/godwit/src/wire/index.ts';
import { gained, refused, type Attack } from './attack.ts';
import { RawClient } from './raw-client.ts';
import type { Scene, SceneServer } from './scene.ts';

/** So often each is asked. */
const SAMPLES = 15;
/** A difference of so much between nearly right and quite wrong would be told apart in the end, in milliseconds. */
const TELLING_MS = 6;

/** How long the server takes to refuse a MIGRATE that is right but for what `spoil` changes, in milliseconds. */
async function timeOf(
  scene: Scene,
  a: SceneServer,
  make: (carrier: RawClient) => Uint8Array,
): Promise<number> {
  const carrier = await RawClient.connect(scene, a);
  const frame = make(carrier);
  const startedAt = performance.now();
  carrier.bytes(frame);
  await once(carrier.socket, 'data');
  const took = performance.now() - startedAt;
  carrier.hangUp();
  return took;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >>> 1] ?? 0;
}

/** Asks both by turns, so that what else the machine does meets both. */
async function difference(
  scene: Scene,
  a: SceneServer,
  near: (carrier: RawClient) => Uint8Array,
  far: (carrier: RawClient) => Uint8Array,
): Promise<number> {
  const times: { near: number[]; far: number[] } = { near: [], far: [] };
  for (let i = 0; i < SAMPLES; i += 1) {
    times.near.push(await timeOf(scene, a, near));
    times.far.push(await timeOf(scene, a, far));
  }
  return median(times.near) - median(times.far);
}

/** A comparison that leaks so much: each byte that is right takes 1 ms, far more than a real one, so that it shows here. */
const BYTE_BY_BYTE = `((a: Uint8Array, b: Uint8Array): boolean => {
        for (let i = 0; i < a.byteLength; i += 1) {
          if (a[i] !== b[i]) return false;
          for (const until = performance.now() + 1; performance.now() < until; );
        }
        return true;
      })`;

export const timingAttacks: readonly Attack[] = [
  {
    name: 'a MAC is guessed byte by byte, by the time that its refusal takes',
    expected: 'no difference',
    defence: 'MACs are compared in constant time (protocol.md §8.3)',
    edits: [
      {
        file: 'crypto/node-crypto.ts',
        search: 'ok: mac.byteLength === MAC_BYTES && timingSafeEqual(computeMac(secret, label, data), mac),',
        replace: `ok: mac.byteLength === MAC_BYTES && ${BYTE_BY_BYTE}(computeMac(secret, label, data), mac) && timingSafeEqual(mac, mac),`,
      },
    ],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.open(scene, a as SceneServer);
      const spoilt = (at: number) => (carrier: RawClient) => {
        const frame = carrier.migrateFrame(client).slice();
        const macAt = macedPart(frame).byteLength;
        frame[macAt + at] = (frame[macAt + at] ?? 0) ^ 1;
        return frame;
      };
      const ms = await difference(scene, a as SceneServer, spoilt(15), spoilt(0));
      return ms < TELLING_MS ? refused('no difference') : gained(`a difference of ${ms.toFixed(1)} ms`);
    },
  },
  {
    name: 'the id of a session is guessed byte by byte, by the time that a refusal takes',
    expected: 'no difference',
    defence: 'sessions are found by all of their id, and ids are 128 random bits (protocol.md §1)',
    edits: [
      {
        file: 'session/server-node.ts',
        search: 'findSession: (id: string): ServerSession | undefined => this.#sessions.get(id),',
        replace: `findSession: (id: string): ServerSession | undefined => {
        const bytes = new TextEncoder().encode(id);
        for (const known of this.#sessions.keys())
          if (${BYTE_BY_BYTE}(bytes, new TextEncoder().encode(known))) return this.#sessions.get(known);
        return undefined;
      },`,
      },
    ],
    run: async (scene) => {
      const [a] = await scene.cluster(['a']);
      const client = await RawClient.open(scene, a as SceneServer);
      const { secret, ticket } = client.knowledge;
      const guess = (known: number) => (carrier: RawClient) => {
        const head = ticket.head.slice();
        head.set(random(16 - known), 9 + known);
        return carrier.migrateFrame({ secret, ticket: { ...ticket, head } });
      };
      const ms = await difference(scene, a as SceneServer, guess(15), guess(0));
      return ms < TELLING_MS ? refused('no difference') : gained(`a difference of ${ms.toFixed(1)} ms`);
    },
  },
];
