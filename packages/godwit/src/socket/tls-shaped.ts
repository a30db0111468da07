/** The side of a socket that node:tls has and node:net has not: http and others look for it. */
import { Duplex } from 'node:stream';
import type { CipherNameAndProtocol, DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import type { X509Certificate } from 'node:crypto';

/**
 * Everything here is of the carrier the session lives on at present, or lived on last; over TCP it is undefined, as it is
 * for a net.Socket. What a certificate says about the peer therefore changes with the server.
 */
export abstract class TlsShaped extends Duplex {
  /** @internal */
  protected abstract get tlsSocket(): TLSSocket | undefined;

  /** True over TLS. */
  get encrypted(): true | undefined {
    return this.tlsSocket === undefined ? undefined : true;
  }
  /** Whether the peer's certificate was good when the carrier was set up. A server looks at it again with every attach. */
  get authorized(): boolean | undefined {
    return this.tlsSocket?.authorized;
  }
  /** Why not. */
  get authorizationError(): Error | undefined {
    return this.tlsSocket?.authorizationError;
  }
  /** `'godwit/1'` over TLS. */
  get alpnProtocol(): string | false | null | undefined {
    return this.tlsSocket?.alpnProtocol;
  }
  /** The name the client asked for (SNI). */
  get servername(): string | false | null | undefined {
    // Missing in the types of node, but there.
    return (this.tlsSocket as { readonly servername?: string | false | null } | undefined)?.servername;
  }
  /** As of tls.TLSSocket: `{}` or null where there is none, undefined over TCP. */
  getPeerCertificate(detailed: true): DetailedPeerCertificate | undefined;
  getPeerCertificate(detailed?: false): PeerCertificate | undefined;
  getPeerCertificate(detailed = false): PeerCertificate | undefined {
    return this.tlsSocket?.getPeerCertificate(detailed);
  }
  /** As of tls.TLSSocket. */
  getPeerX509Certificate(): X509Certificate | undefined {
    return this.tlsSocket?.getPeerX509Certificate();
  }
  /** As of tls.TLSSocket. */
  getCertificate(): PeerCertificate | object | null | undefined {
    return this.tlsSocket?.getCertificate();
  }
  /** As of tls.TLSSocket. */
  getCipher(): CipherNameAndProtocol | undefined {
    return this.tlsSocket?.getCipher();
  }
  /** `'TLSv1.3'`, say; undefined over TCP. */
  getProtocol(): string | null | undefined {
    return this.tlsSocket?.getProtocol();
  }
  /** Whether the present carrier took up an earlier TLS session, as it does after a move within a cluster. */
  isSessionReused(): boolean | undefined {
    return this.tlsSocket?.isSessionReused();
  }
}
