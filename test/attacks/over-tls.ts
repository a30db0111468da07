/** Attacks on sessions over TLS: other protocols, other certificates, relays, clients who are no longer welcome (§3.4). */
import { once } from 'node:events';
import tls from 'node:tls';
import type { Socket } from 'godwit';
import { gained, refused, type Attack, type Outcome } from './attack.ts';
import { certificates, tlsDial } from './on-path.ts';
import { RawClient } from './raw-client.ts';
import type { Member, Scene, SceneServer } from './scene.ts';
import { waitUntil } from './wait-until.ts';
import { oneMasterSecret } from './one-master-secret.ts';
import { Authority, RSA, type Identity } from '../integration/certificates.ts';

const TRANSPORT = 'carriers/tls.ts';

async function serverOverTls(scene: Scene, options: tls.TlsOptions = {}): Promise<SceneServer> {
  const { server } = await certificates();
  const [at] = (await scene.members('a')) as [Member];
  return scene.listen(at, { tls: { cert: server.cert, key: server.key, ...options } });
}

function clientOf(scene: Scene, to: Member, options: tls.ConnectionOptions): Socket {
  const client = scene.library.connect({
    servers: [`${to.host}:${to.port}`],
    tls: options,
    giveUpTimeoutMs: 500,
  });
  scene.defer(() => void client.destroy());
  return client;
}

/** With what the client ends, or that it is connected. */
async function ending(client: Socket, what: string): Promise<Outcome> {
  let code: string | undefined;
  let isOpen = false;
  client.once('connect', () => (isOpen = true));
  client.on('error', (error: NodeJS.ErrnoException) => (code ??= error.code));
  await waitUntil(() => isOpen || code !== undefined, 'connection, nor an error');
  return code === undefined ? gained(what) : refused(code);
}

/** Somebody with a certificate who passes on what he decrypts. */
async function relayOverTls(scene: Scene, to: Member, options: tls.TlsOptions): Promise<Member> {
  const { authority } = await certificates();
  const relay = tls.createServer({ ALPNProtocols: ['godwit/1'], ...options }, (inner) => {
    const outer = tls.connect({ ...to, ca: authority.ca, ALPNProtocols: ['godwit/1'] });
    inner.pipe(outer).pipe(inner);
    for (const socket of [inner, outer]) {
      socket.on('error', () => undefined);
      scene.defer(() => void socket.destroy());
    }
  });
  relay.on('tlsClientError', () => undefined);
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  scene.defer(() => void relay.close());
  return { name: 'relay', host: '127.0.0.1', port: (relay.address() as { port: number }).port };
}

export const tlsAttacks: readonly Attack[] = [
  {
    name: 'a client is talked into another protocol by ALPN, and goes on',
    expected: 'ERR_GODWIT_PROTOCOL',
    defence: 'a client goes on only where ALPN answers godwit/1 (protocol.md §3.4)',
    edits: [
      {
        file: TRANSPORT,
        search: '() => (socket.alpnProtocol === ALPN_PROTOCOL ? undefined : NO_GODWIT),',
        replace: '() => (socket.alpnProtocol === "" ? NO_GODWIT : undefined),',
      },
    ],
    run: async (scene) => {
      const { authority, server } = await certificates();
      // It takes the offer of godwit/1 off the handshake, and passes the rest on.
      const stripped = tls.createServer({ cert: server.cert, key: server.key }, (inner) => {
        inner.on('error', () => undefined);
        inner.on('data', () => (hasSpoken = true));
        scene.defer(() => void inner.destroy());
      });
      let hasSpoken = false;
      stripped.listen(0, '127.0.0.1');
      await once(stripped, 'listening');
      scene.defer(() => void stripped.close());
      const { port } = stripped.address() as { port: number };
      const client = clientOf(scene, { name: '', host: '127.0.0.1', port }, { ca: authority.ca });
      let code: string | undefined;
      client.on('error', (error: NodeJS.ErrnoException) => (code ??= error.code));
      await waitUntil(() => hasSpoken || code !== undefined, 'word, nor an error');
      return code === undefined ? gained('what the client says in OPEN') : refused(code);
    },
  },
  {
    name: 'a client that ALPN was taken from sends our preface all the same',
    expected: 'closed ERR_GODWIT_PROTOCOL',
    defence: 'a server serves only those as clients who name godwit/1 in ALPN (protocol.md §3.4)',
    edits: [
      {
        file: 'server/preface-gate.ts',
        search: 'if (carrier.tls !== undefined && !this.#isNamed(carrier)) {',
        replace: 'if (this.#plain !== undefined && carrier.tls !== undefined && !this.#isNamed(carrier)) {',
      },
    ],
    run: async (scene) => {
      const { authority } = await certificates();
      const a = await serverOverTls(scene);
      const { socket } = await tlsDial(scene, a, { ca: authority.ca });
      const client = RawClient.over(socket);
      client.bytes(Buffer.from('676f647769740d0a01010000', 'hex'));
      const outcome = await client.refusal(() => client.find('challenge') !== undefined);
      if (outcome === undefined)
        return gained('a carrier of which the server cannot tell what it was meant for');
      await waitUntil(() => a.refusals.length > 0, 'refusal');
      return refused(`closed ${a.refusals[0]?.code}`);
    },
  },
  {
    name: 'a client without TLS comes to a server that has it',
    expected: 'closed',
    defence: 'a server with `tls` speaks nothing else (protocol.md §3.4)',
    run: async (scene) => {
      const [at] = (await scene.members('a')) as [Member];
      const { server } = await certificates();
      const a = await scene.listen(
        at,
        scene.isDefended ? { tls: { cert: server.cert, key: server.key } } : {},
      );
      const client = await RawClient.dial(scene, a);
      client.bytes(Buffer.from('676f647769740d0a01010000', 'hex'));
      return (
        (await client.refusal(() => client.find('challenge') !== undefined)) ?? gained('a carrier in clear')
      );
    },
  },
  {
    name: 'somebody with a certificate of his own stands between client and server',
    expected: 'SELF_SIGNED_CERT_IN_CHAIN',
    defence: "the client's `ca` (protocol.md §3.4)",
    run: async (scene) => {
      const { authority } = await certificates();
      const a = await serverOverTls(scene);
      const other = await Authority.create('Another authority');
      const identity = await other.issue('localhost');
      const relay = await relayOverTls(scene, a, {
        cert: `${identity.cert}\n${other.ca}`,
        key: identity.key,
      });
      // What people do who are tired of certificates.
      const tired = { rejectUnauthorized: false };
      const client = clientOf(scene, relay, { ca: authority.ca, ...(!scene.isDefended && tired) });
      if (scene.isDefended) return ending(client, 'a connection');
      let hasReached = false;
      client.on('error', () => undefined);
      a.server.on('connection', () => (hasReached = true));
      await waitUntil(() => hasReached, 'OPEN at the server');
      return gained('OPEN, and all input behind it, in clear');
    },
  },
  {
    name: 'somebody with a certificate that the client believes relays OPEN',
    expected: 'ERR_GODWIT_UNAUTHENTICATED',
    defence: 'the secret is bound to the exporter of the TLS connection (protocol.md §3.4)',
    edits: [
      {
        file: 'carriers/channel-binding.ts',
        search: 'new Uint8Array(socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, NO_CONTEXT));',
        replace: 'new Uint8Array(EXPORTER_BYTES + 0 * EXPORTER_LABEL.length * NO_CONTEXT.length);',
      },
    ],
    run: async (scene) => {
      const { authority, server } = await certificates();
      const a = await serverOverTls(scene);
      const relay = await relayOverTls(scene, a, { cert: server.cert, key: server.key });
      return ending(clientOf(scene, relay, { ca: authority.ca }), 'a session that is read in the middle');
    },
  },
  {
    name: 'somebody with such a certificate gives his two TLS 1.2 connections one master secret, and relays OPEN',
    expected: 'closed ERR_GODWIT_PROTOCOL',
    defence: 'TLS 1.2 without extended master secret is refused (protocol.md §3.4)',
    edits: [
      {
        file: 'carriers/channel-binding.ts',
        search: 'return session !== undefined && hasExtendedMasterSecret(session);',
        replace: 'return session !== undefined;',
      },
    ],
    run: async (scene) => {
      const { authority } = await certificates();
      const [server, believed] = await Promise.all(
        ['localhost', 'localhost'].map((name) => authority.issue(name, {}, RSA)),
      );
      // Where both ends speak 1.3, the server's random bytes tell the client that it was talked out of it.
      const a = await serverOverTls(scene, { ...server, maxVersion: 'TLSv1.2' });
      const relay = await oneMasterSecret(scene, a, believed as Identity);
      const client = clientOf(scene, relay, { ca: authority.ca });
      let isOpen = false;
      client.once('connect', () => (isOpen = true));
      client.on('error', () => undefined);
      await waitUntil(() => isOpen || a.refusals.length > 0, 'session, nor a refusal');
      const [refusal] = a.refusals;
      if (refusal !== undefined) return refused(`closed ${refusal.code}`);
      const heard = await relay.heard;
      return gained(`a session that is read in the middle, from "${heard.toString('latin1', 0, 6)}" on`);
    },
  },
  {
    name: 'a client whose certificate was revoked brings its session, over a TLS session it resumes',
    expected: 'closed ERR_GODWIT_CERTIFICATE_REJECTED',
    defence:
      'certificates are looked at with every attach (protocol.md §3.4), with a list of revocations (`crl`)',
    run: async (scene) => {
      const { authority, server, client: identity } = await certificates();
      const base = { cert: server.cert, key: server.key, ca: authority.ca, requestCert: true };
      const a = await serverOverTls(scene, base);
      const dialled = {
        ca: authority.ca,
        cert: identity.cert,
        key: identity.key,
        ALPNProtocols: ['godwit/1'],
      };
      const first = await tlsDial(scene, a, dialled);
      await waitUntil(() => first.ticket !== undefined, 'ticket of TLS');
      const session = first.ticket;
      const client = RawClient.over(first.socket);
      await client.hello();
      if (scene.isDefended) a.server.setSecureContext({ ...base, crl: await authority.revoke([identity]) });
      const again = RawClient.over((await tlsDial(scene, a, { ...dialled, session })).socket);
      again.bytes(Buffer.from('676f647769740d0a01010000', 'hex'));
      const outcome = await again.refusal(() => again.find('challenge') !== undefined);
      if (outcome === undefined) return gained('a carrier');
      await waitUntil(() => a.refusals.length > 0, 'refusal');
      return refused(`closed ${a.refusals[0]?.code}`);
    },
  },
];
