/** Attacks with MIGRATE: forged, captured and sent again (protocol.md §10.5). */
import { gained, type Attack } from './attack.ts';
import { RawClient } from './raw-client.ts';
import type { SceneServer } from './scene.ts';

const PROOF_UNCHECKED = {
  file: 'session/destination.ts',
  search: `        if (!ok) otherwise();
        else this.#authorize(attach, then);`,
  replace: `        void ok, otherwise;
        this.#authorize(attach, then);`,
};
/** All carriers have the same CHALLENGE, of a server without a name. */
const NO_FRESHNESS = [
  {
    file: 'session/server-node.ts',
    search: 'const nonce = random(NONCE_BYTES);',
    replace: 'const nonce = random(NONCE_BYTES).fill(0);',
  },
];
const NO_SERVER_NAME = [
  { file: 'session/server-node.ts', search: 'nonce, serverName: name }', replace: `nonce, serverName: '' }` },
  {
    file: 'session/destination.ts',
    search: 'new TextEncoder().encode(this.#host.config.name), attach.nonce',
    replace: `new TextEncoder().encode(''), attach.nonce`,
  },
];

export const migrateAttacks: readonly Attack[] = [
  {
    name: 'MIGRATE is forged by somebody who captured a ticket, and has no secret',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the MAC under the secret of the session (protocol.md §8.3)',
    edits: [PROOF_UNCHECKED],
    run: async (scene) => {
      const [a, b] = await scene.cluster(['a', 'b']);
      const client = await RawClient.open(scene, a as SceneServer);
      const thief = await RawClient.connect(scene, b as SceneServer);
      thief.bytes(thief.migrateFrame({ secret: new Uint8Array(32), ticket: client.ticket }, { origin: 'a' }));
      return (await thief.refusal(() => thief.find('accept') !== undefined)) ?? gained('the session');
    },
  },
  {
    name: 'a captured MIGRATE is sent again to another server',
    expected: 'REFUSE ERR_GODWIT_UNAUTHENTICATED',
    defence: 'a proof that covers the name of the server and the nonce of the carrier (protocol.md §3.3)',
    edits: [...NO_FRESHNESS, ...NO_SERVER_NAME],
    run: async (scene) => {
      const [a, b, c] = await scene.cluster(['a', 'b', 'c']);
      const client = await RawClient.open(scene, a as SceneServer);
      const carrier = await RawClient.connect(scene, b as SceneServer);
      const captured = carrier.migrateFrame(client, { origin: 'a' });
      carrier.bytes(captured);
      await carrier.confirm(client.secret);
      const thief = await RawClient.connect(scene, c as SceneServer);
      thief.bytes(captured);
      return (await thief.refusal(() => thief.find('accept') !== undefined)) ?? gained('a second copy');
    },
  },
];
