/** How a session reaches its servers. One transport for all that dial alike, so that they share standby carriers. */
import type { ConnectionOptions } from 'node:tls';
import type { Transport } from '../carriers/carrier.ts';
import { TcpTransport } from '../carriers/tcp.ts';
import { TlsTransport } from '../carriers/tls.ts';
import type { ConnectOptions } from '../socket/connect-options.ts';

const overTcp = new TcpTransport();
let overTls: TlsTransport | undefined;
const byOptions = new WeakMap<ConnectionOptions, TlsTransport>();

export function transportOf({ transport, tls }: ConnectOptions): Transport {
  if (transport !== undefined) return transport;
  if (tls === undefined || tls === false) return overTcp;
  if (tls === true) return (overTls ??= new TlsTransport());
  let own = byOptions.get(tls);
  if (own === undefined) {
    own = new TlsTransport({ client: tls });
    byOptions.set(tls, own);
  }
  return own;
}
