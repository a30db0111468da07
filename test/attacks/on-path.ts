/** What somebody on the path of plain TCP can do, and a thief of the cluster's keys: stopped by settings alone (§16). */
import { once } from 'node:events';
import tls from 'node:tls';
import type { Socket } from 'godwit';
import { encodeFrame, toHex } from '../../packages/godwit/src/wire/index.ts';
import { Authority, type Identity } from '../integration/certificates.ts';
import { gained, refused, type Attack } from './attack.ts';
import { bring } from './bring.ts';
import { pay } from './clients.ts';
import { RawClient } from './raw-client.ts';
import { ManInTheMiddle } from './man-in-the-middle.ts';
import { Relay, type Tampering } from './relay.ts';
import { CLUSTER_KEY, NEXT_CLUSTER_KEY, type Member, type Scene, type SceneServer } from './scene.ts';
import { forgedTicket } from './tickets.ts';
import { comesTrue } from './wait-until.ts';

export interface Certificates {
  readonly authority: Authority;
  readonly server: Identity;
  readonly client: Identity;
}

let made: Promise<Certificates> | undefined;

/** Made once: they take longer than an attack. */
export function certificates(): Promise<Certificates> {
  made ??= (async () => {
    const authority = await Authority.create('Authority of the attacks');
    const server = await authority.issue('localhost');
    return { authority, server, client: await authority.issue('client') };
  })();
  return made;
}

interface OnPath {
  readonly a: SceneServer;
  readonly relay: Relay;
  readonly client: Socket;
}

/** A client and its server, over TLS if it is defended, with somebody in between. */
async function onPath(scene: Scene, tampering: Tampering = {}): Promise<OnPath> {
  const { authority, server } = await certificates();
  const [at] = (await scene.members('a')) as [Member];
  const relay = await Relay.start(scene, at, tampering);
  const a = await scene.listen(at, {
    advertise: { host: relay.host, port: relay.port },
    ...(scene.isDefended && { tls: { cert: server.cert, key: server.key } }),
  });
  const client = scene.library.connect({
    servers: [`${relay.host}:${relay.port}`],
    ...(scene.isDefended && { tls: { ca: authority.ca } }),
  });
  client.on('error', () => undefined);
  scene.defer(() => void client.destroy());
  return { a, relay, client };
}

const TLS = '`tls` at both ends';

export const onPathAttacks: readonly Attack[] = [
  {
    name: 'somebody on the path of plain TCP reads the data',
    expected: 'unreadable',
    defence: 'TLS (protocol.md §3.4)',
    setting: TLS,
    run: async (scene) => {
      const { relay, client } = await onPath(scene);
      await pay(client, 4711);
      return Buffer.concat(relay.heard).includes('4711') ? gained('what was paid') : refused('unreadable');
    },
  },
  {
    name: 'a man in the middle of plain TCP agrees on secrets of his own with both ends',
    expected: 'unreadable',
    defence: 'TLS, to whose exporter the secret is bound (protocol.md §3.4)',
    setting: TLS,
    run: async (scene) => {
      const man = new ManInTheMiddle();
      const { client } = await onPath(scene, man.tampering);
      await pay(client, 100);
      const { secrets } = man;
      return secrets.client && secrets.server ? gained('the secrets of both ends') : refused('unreadable');
    },
  },
  {
    name: 'a man in the middle of plain TCP changes the data',
    expected: 'the balance is right',
    defence: 'TLS (protocol.md §3.4)',
    setting: TLS,
    run: async (scene) => {
      let isArmed = false;
      const { client } = await onPath(scene, {
        // The digit, where it is in clear; where it is not, any byte of the record.
        toServer: (chunk) => {
          if (!isArmed) return chunk;
          const changed = Buffer.from(chunk);
          const at = changed.indexOf('4711');
          if (at < 0 && !scene.isDefended) return chunk;
          isArmed = false;
          const place = at < 0 ? changed.byteLength - 1 : at;
          changed[place] = (changed[place] ?? 0) ^ 1;
          return changed;
        },
      });
      await pay(client, 1);
      isArmed = true;
      const balance = await pay(client, 4711);
      return balance === '4712;' ? refused('the balance is right') : gained(`a balance of ${balance}`);
    },
  },
  {
    name: 'a man in the middle of plain TCP ends the session',
    expected: 'the session goes on',
    defence: 'TLS: what he says breaks a carrier, which is replaced (protocol.md §3.4)',
    setting: TLS,
    run: async (scene) => {
      const { relay, client } = await onPath(scene);
      await pay(client, 100);
      let isOver = false;
      client.once('error', () => (isOver = true));
      const mac = new Uint8Array(16);
      relay.inject(encodeFrame('reset', { epoch: client.epoch, code: 18, message: 'go away', mac }));
      if (await comesTrue(() => isOver, 300)) return gained('the end of the session');
      return (await pay(client, 1)) === '101;' ? refused('the session goes on') : gained('another balance');
    },
  },
  {
    name: "somebody who saw a session's id on plain TCP opens one of that id elsewhere, which keeps it away",
    expected: 'unreadable',
    defence: 'TLS: nobody sees the id (protocol.md §16)',
    setting: TLS,
    run: async (scene) => {
      const { relay, client } = await onPath(scene);
      await pay(client, 100);
      const id = Buffer.from(client.sessionId ?? '', 'hex');
      if (!Buffer.concat(relay.heard).includes(id)) return refused('unreadable');
      const [b] = await scene.cluster(['b']);
      const stranger = await RawClient.connect(scene, b as SceneServer);
      stranger.sessionId = id;
      await stranger.openSession();
      // Its own client, with a true ticket, is turned away there.
      return gained(`the place of ${toHex(id).slice(0, 6)}… at server b`);
    },
  },
  {
    name: 'a thief of the cluster key forges a ticket',
    expected: 'REFUSE ERR_GODWIT_UNKNOWN_KEY',
    defence: 'rotation, and revocation of the stolen key (protocol.md §8.1)',
    setting:
      '`keys`: rotate them, and take the stolen one out of every ring (godwit keygen --rotate, reloadRing)',
    run: async (scene) => {
      const keys = scene.isDefended ? [NEXT_CLUSTER_KEY] : [CLUSTER_KEY];
      const [a, b] = await scene.cluster(['a', 'b'], (name) => (name === 'b' ? { keys } : {}));
      const client = await RawClient.open(scene, a as SceneServer);
      return bring(scene, b as SceneServer, forgedTicket(client, CLUSTER_KEY));
    },
  },
];

export interface TlsDial {
  readonly socket: tls.TLSSocket;
  /** With which the next handshake resumes this one, once it has come. */
  readonly ticket: Buffer | undefined;
}

export async function tlsDial(scene: Scene, to: Member, options: tls.ConnectionOptions): Promise<TlsDial> {
  const socket = tls.connect({ host: to.host, port: to.port, ...options });
  const dial = { socket, ticket: undefined as Buffer | undefined };
  socket.on('error', () => undefined);
  socket.on('session', (ticket) => (dial.ticket = ticket));
  scene.defer(() => void socket.destroy());
  await Promise.race([once(socket, 'secureConnect'), once(socket, 'close')]).catch(() => undefined);
  return dial;
}
