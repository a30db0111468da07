/** Carriers over TLS (protocol.md §3.4): the peer is who its certificate says, and nobody on the way reads or changes a byte. */
import net, { isIP } from 'node:net';
import tls from 'node:tls';
import { exporterOf, isBinding } from './channel-binding.ts';
import { Lender } from './lender.ts';
import {
  closedBy,
  type CarrierClosed,
  type Dial,
  type DialAddress,
  type DialDone,
  type DialOptions,
  type ListenHandlers,
  type ListenPeer,
  type ListenTarget,
  type Listener,
  type Transport,
} from './carrier.ts';
import {
  SOCKET_OPTIONS,
  SocketCarrier,
  definedIn,
  deniedDial,
  failLater,
  listenOn,
  targetOf,
  tellSteps,
  watchDial,
} from './tcp.ts';

/** Protocol name in ALPN (RFC 7301). */
export const ALPN_PROTOCOL = 'godwit/1';

/** The same on every server of a cluster, or none would take up what another began. At most 32 bytes. */
const SESSION_ID_CONTEXT = 'godwit/1';

/** TLS sessions remembered for resumption, one for each server name. Memory cost: about 2 KiB each. */
const MAX_TLS_SESSIONS = 256;

export interface TlsTransportOptions {
  /** What node's `tls.connect` takes; addresses come from the session. */
  readonly client?: tls.ConnectionOptions;
  /** What node's `tls.createServer` takes. */
  readonly server?: tls.TlsOptions;
  /** Whether a listener takes what else its `ALPNProtocols` name. */
  readonly servesOthers?: boolean;
  /** A second look at a client, resumed handshakes included: why it may not come in, or undefined. */
  readonly checkClient?: (socket: tls.TLSSocket) => CarrierClosed | undefined;
}

export class TlsTransport implements Transport {
  readonly #options: TlsTransportOptions;
  /** By server name, whoever the server is: a cluster has its ticket keys in common. The one used longest ago is first. */
  readonly #sessions = new Map<string, Buffer>();
  readonly #servers = new Set<tls.Server>();
  /** What a listener to come needs to know of the changes before it. */
  #ticketKeys: Buffer | undefined;
  #secureContext: tls.SecureContextOptions = {};

  constructor(options: TlsTransportOptions = {}) {
    this.#options = options;
  }

  dial(address: DialAddress, options: DialOptions, done: DialDone): Dial {
    const { timeoutMs: _timeoutMs, signal: _signal, unixSockets, onStep, ...given } = options;
    const where = targetOf(address, unixSockets);
    if (where === undefined) return failLater(deniedDial(address), done);
    const { client = {} } = this.#options;
    const hasName = 'host' in where && isIP(where.host) === 0;
    const servername = client.servername ?? (hasName ? address.host : '');
    // node resumes a TLS session under the name, or else the address, that it was made with, and under no other.
    const knownAs = servername === '' ? address.host : servername;
    const session = client.session ?? this.#sessions.get(knownAs);
    const lender = new Lender({ gathers: true });
    let socket: tls.TLSSocket;
    try {
      socket = tls.connect({
        ...client,
        ...SOCKET_OPTIONS,
        // Its types do not know it: documented of net.Socket, passed on by tls.
        ...{ onread: lender.onread },
        ...definedIn(given),
        ...(session !== undefined && { session }),
        ...(servername !== '' && { servername }),
        ...where,
        ALPNProtocols: [ALPN_PROTOCOL],
      });
    } catch (error) {
      return failLater(closedBy(error as Error), done);
    }
    if (onStep !== undefined) tellSteps(socket, onStep);
    socket.on('session', (fresh) => this.#remember(knownAs, fresh));
    return watchDial(
      socket,
      'secureConnect',
      options,
      (error, carrier) => {
        // Whatever went wrong, it must not go wrong again because of what was remembered.
        if (error !== undefined) this.#sessions.delete(knownAs);
        done(error, carrier);
      },
      () => wrap(socket, lender),
      () => (socket.alpnProtocol === ALPN_PROTOCOL ? undefined : NO_GODWIT),
    );
  }

  listen(target: ListenTarget, handlers: ListenHandlers): Listener {
    const { checkClient } = this.#options;
    const server = tls.createServer({
      ...this.#serverOptions,
      ...(this.#ticketKeys !== undefined && { ticketKeys: this.#ticketKeys }),
      ...SOCKET_OPTIONS,
      ALPNProtocols: [ALPN_PROTOCOL, ...this.#otherProtocols],
    });
    this.#servers.add(server);
    // Connections are taken in front of it: a handshake costs too much for anybody to begin as many as he likes.
    // Who ends in the midst of one has gone; who ends behind it may wait for an answer.
    const front = net.createServer({ ...SOCKET_OPTIONS, allowHalfOpen: false });
    front.on('close', () => this.#servers.delete(server));
    const cutHandshakes = admitTo(server, front, handlers);
    const refuse = (closed: CarrierClosed, socket: tls.TLSSocket): void => {
      handlers.onRefused?.(closed, peerOf(socket));
    };
    server.on('tlsClientError', (error, socket) => {
      refuse(closedBy(error), socket);
      // After a handshake that took too long node leaves that to us.
      socket.destroy();
    });
    const acceptable: ListenHandlers = {
      ...handlers,
      onCarrier: (carrier) => {
        const socket = carrier.tls as tls.TLSSocket;
        // Who does not name Godwit is a stranger, and gets no session.
        const isNamed = socket.alpnProtocol === ALPN_PROTOCOL;
        const objection = (isNamed ? objectionTo(socket) : undefined) ?? checkClient?.(socket);
        if (objection === undefined) {
          handlers.onCarrier(carrier);
          return;
        }
        refuse(objection, socket);
        carrier.destroy();
      },
    };
    server.on('secureConnection', (socket) => {
      socket.allowHalfOpen = SOCKET_OPTIONS.allowHalfOpen;
      front.emit('secureConnection', socket);
    });
    const listener = listenOn(front, 'secureConnection', target, acceptable, (socket: tls.TLSSocket) =>
      wrap(socket),
    );
    const close = listener.close.bind(listener);
    listener.close = () => {
      close();
      // As silent peers are over TCP: nobody is there any more to whom they could prove anything.
      cutHandshakes();
    };
    return listener;
  }

  /** 48 bytes: the keys of TLS tickets, which servers of one cluster share so that each resumes what another began. */
  setTicketKeys(keys: Buffer): void {
    this.#ticketKeys = keys;
    for (const server of this.#servers) server.setTicketKeys(keys);
  }

  /** Certificates, keys and lists of revocations for the handshakes to come, beside the options. Throws what node throws. */
  setSecureContext(options: tls.SecureContextOptions): void {
    const before = this.#secureContext;
    this.#secureContext = options;
    try {
      for (const server of this.#servers) {
        server.setSecureContext(this.#serverOptions);
        if (this.#ticketKeys !== undefined) server.setTicketKeys(this.#ticketKeys);
      }
    } catch (error) {
      this.#secureContext = before;
      throw error;
    }
  }

  get #serverOptions(): tls.TlsOptions {
    return { sessionIdContext: SESSION_ID_CONTEXT, ...this.#options.server, ...this.#secureContext };
  }

  get #otherProtocols(): readonly string[] {
    const { server, servesOthers } = this.#options;
    const named: unknown = server?.ALPNProtocols;
    return servesOthers === true && Array.isArray(named) ? (named as string[]) : [];
  }

  #remember(knownAs: string, session: Buffer): void {
    this.#sessions.delete(knownAs);
    this.#sessions.set(knownAs, session);
    if (this.#sessions.size > MAX_TLS_SESSIONS)
      this.#sessions.delete(this.#sessions.keys().next().value as string);
  }
}

const NO_GODWIT: CarrierClosed = {
  code: 'ERR_GODWIT_PROTOCOL',
  message: `the server did not answer ALPN with ${ALPN_PROTOCOL}: it does not speak Godwit`,
  reset: false,
};

const UNBOUND: CarrierClosed = {
  code: 'ERR_GODWIT_PROTOCOL',
  message:
    'TLS without extended master secret (RFC 7627), to which no session can be bound; TLS 1.3 needs none',
  reset: false,
};

/** Why a client's connection may carry no session; undefined where it may. */
function objectionTo(socket: tls.TLSSocket): CarrierClosed | undefined {
  if (!isBinding(socket)) return UNBOUND;
  // Up to TLS 1.2: another handshake would change what the session was bound to.
  socket.disableRenegotiation();
  return undefined;
}

/** Gives connections on to the server of TLS, as many as are wanted at a time. Returns what ends those whose handshake is under way. */
function admitTo(server: tls.Server, front: net.Server, handlers: ListenHandlers): () => void {
  const begin = (peer: ListenPeer): (() => void) | undefined =>
    handlers.onHandshake === undefined ? () => undefined : handlers.onHandshake(peer);
  const underWay = new Map<string, { readonly socket: net.Socket; readonly done: () => void }>();
  /** Over a Unix socket no peer has a name, and each of these places is as good as another. */
  const nameless: (() => void)[] = [];
  let hasNames = true;
  front.once('listening', () => {
    const address = front.address();
    hasNames = address !== null && typeof address === 'object';
  });
  const nameOf = ({ remoteAddress, remotePort }: net.Socket): string => `${remoteAddress} ${remotePort}`;
  front.on('connection', (socket: net.Socket) => {
    // Over TCP, who has no address any more is gone already.
    const isGone = hasNames && socket.remoteAddress === undefined;
    const done = isGone ? undefined : begin(peerOf(socket));
    if (done === undefined) {
      socket.destroy();
      return;
    }
    if (hasNames) {
      const name = nameOf(socket);
      underWay.set(name, { socket, done });
      socket.once('close', () => {
        // Somebody may have come from the same port meanwhile.
        if (underWay.get(name)?.socket === socket) underWay.delete(name);
        done();
      });
    } else nameless.push(done);
    server.emit('connection', socket);
  });
  // Before anybody else hears of it: what the carrier costs from now on is counted there.
  server.prependListener('secureConnection', (socket) => {
    const name = nameOf(socket);
    const done = hasNames ? underWay.get(name)?.done : nameless.pop();
    underWay.delete(name);
    done?.();
  });
  // One of the two comes for every connection, whatever ends it.
  server.prependListener('tlsClientError', () => {
    nameless.pop()?.();
  });
  return () => {
    for (const { socket } of underWay.values()) socket.destroy();
  };
}

function peerOf({ remoteAddress: address, remotePort: port }: net.Socket): ListenPeer {
  return { address, port };
}

function wrap(socket: tls.TLSSocket, lender?: Lender): SocketCarrier {
  return new SocketCarrier(socket, {
    exporter: exporterOf(socket),
    tls: socket,
    lender,
  });
}
