/** What binds a session to its TLS connection (protocol.md §3.4): the exporter of RFC 9266, where it is one of a kind. */
import type { TLSSocket } from 'node:tls';
import { Der, TAG_INTEGER, TAG_SEQUENCE } from './der.ts';

/** Label of RFC 9266, with an empty context. */
const EXPORTER_LABEL = 'EXPORTER-Channel-Binding';
const EXPORTER_BYTES = 32;
const NO_CONTEXT = Buffer.alloc(0);

/** The flags of a session as OpenSSL writes it, `[13]`, and what stands in them for an extended master secret. */
const TAG_SESSION_FLAGS = 0xad;
const FLAG_EXTENDED_MASTER_SECRET = 1;

/** Of a connection whose handshake is done. It binds nothing but where the server finds that it does. */
export function exporterOf(socket: TLSSocket): Uint8Array {
  return new Uint8Array(socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, NO_CONTEXT));
}

/**
 * Whether no other connection has the same exporter; asked at the server. Up to TLS 1.2 somebody in between can give two
 * connections one master secret, unless that depends on the whole handshake (RFC 7627). The server's refusal is enough: no secret
 * of another connection, whatever its client agreed to, is the same as one that does.
 */
export function isBinding(socket: TLSSocket): boolean {
  if (socket.getProtocol() === 'TLSv1.3') return true;
  const session = socket.getSession();
  return session !== undefined && hasExtendedMasterSecret(session);
}

/** node has no name for it, but OpenSSL writes it into the session, in a form that stays, since sessions are stored. */
function hasExtendedMasterSecret(session: Buffer): boolean {
  try {
    const fields = new Der(session).enter(TAG_SEQUENCE);
    while (!fields.isAtEnd) {
      if (fields.tag !== TAG_SESSION_FLAGS) {
        fields.next();
        continue;
      }
      const flags = fields.enter(TAG_SESSION_FLAGS);
      return (
        flags.tag === TAG_INTEGER && (Number(`0x0${flags.integer()}`) & FLAG_EXTENDED_MASTER_SECRET) !== 0
      );
    }
  } catch (error) {
    // Of another library than OpenSSL: not known is no.
    if (!(error instanceof TypeError)) throw error;
  }
  return false;
}
