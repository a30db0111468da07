/** How a session reaches its servers. One transport for all that dial alike, so that they share connections and standby carriers. */
import type { ConnectionOptions } from 'node:tls';
import type { Transport } from '../carriers/carrier.ts';
import { SharingTransport } from '../carriers/sharing.ts';
import { TcpTransport } from '../carriers/tcp.ts';
import { TlsTransport } from '../carriers/tls.ts';
import type { ConnectOptions } from '../socket/connect-options.ts';

/** One way to dial, for those whose carriers share connections and for those whose do not. */
class Way {
  readonly #alone: Transport;
  readonly #sharing: Transport;

  constructor(transport: Transport) {
    this.#alone = transport;
    this.#sharing = new SharingTransport(transport);
  }

  for({ shareConnections, typeOfService }: ConnectOptions): Transport {
    // A type of service is the connection's: what one session asks for is none of the others' business.
    return shareConnections === false || typeOfService !== undefined ? this.#alone : this.#sharing;
  }
}

const overTcp = new Way(new TcpTransport());
let overTls: Way | undefined;
const byOptions = new WeakMap<ConnectionOptions, Way>();

export function transportOf(options: ConnectOptions): Transport {
  const { transport, tls } = options;
  return transport ?? wayOf(tls).for(options);
}

function wayOf(tls: ConnectOptions['tls']): Way {
  if (tls === undefined || tls === false) return overTcp;
  if (tls === true) return (overTls ??= new Way(new TlsTransport()));
  let own = byOptions.get(tls);
  if (own === undefined) {
    own = new Way(new TlsTransport({ client: tls }));
    byOptions.set(tls, own);
  }
  return own;
}
