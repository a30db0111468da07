/** TLS at a server: its carriers, the ticket keys it shares with its cluster, and whom it lets in (protocol.md §3.4). */
import type { ConnectionOptions, SecureContextOptions, TLSSocket, TlsOptions } from 'node:tls';
import type { CarrierClosed } from '../carriers/carrier.ts';
import { ClientCertificates } from '../carriers/client-certificate.ts';
import { TlsTransport } from '../carriers/tls.ts';
import type { KeyRing } from '../crypto/index.ts';

/** What `createServer({ tls })` takes: all of node's `tls.createServer`, and how to reach the other servers. */
export interface ServerTlsOptions extends TlsOptions {
  /**
   * How other servers are dialled. By default with this server's own certificate, and whatever theirs is: links between
   * servers prove the cluster's key and are encrypted with it, inside TLS too.
   */
  readonly peer?: ConnectionOptions;
}

export interface ServerTlsSettings {
  readonly servesPlain: boolean;
  readonly handshakeTimeoutMs: number;
}

export class ServerTls {
  readonly transport: TlsTransport;
  readonly #options: ServerTlsOptions;
  readonly #clients: ClientCertificates | undefined;
  /** What was set since. */
  #context: SecureContextOptions = {};

  /** Throws what node throws for options that make no sense. */
  constructor({ peer, ...given }: ServerTlsOptions, settings: ServerTlsSettings) {
    // By default node waits for two minutes.
    const options = { handshakeTimeout: settings.handshakeTimeoutMs, ...given };
    this.#options = options;
    const verifies = options.requestCert === true && options.rejectUnauthorized !== false;
    this.#clients = verifies ? new ClientCertificates(options) : undefined;
    const { ca, cert, key, pfx, passphrase } = options;
    const own = Object.entries({ ca, cert, key, pfx, passphrase }).filter(([, value]) => value !== undefined);
    this.transport = new TlsTransport({
      server: options,
      servesOthers: settings.servesPlain,
      client: { ...Object.fromEntries(own), rejectUnauthorized: false, ...peer },
      ...(verifies && { checkClient: (socket) => this.objectionTo(socket) }),
    });
  }

  /** Clients without a good certificate are turned away. */
  get demandsCertificates(): boolean {
    return this.#clients !== undefined;
  }

  /** Why the client at the other end may not begin or take up a session now; undefined when it may. */
  objectionTo(socket: TLSSocket): CarrierClosed | undefined {
    // tidy-allow: certificates expire by the calendar
    const message = this.#clients?.objectionTo(socket, Date.now());
    return message === undefined
      ? undefined
      : { code: 'ERR_GODWIT_CERTIFICATE_REJECTED', message, reset: false };
  }

  /** Ticket keys of the ring's newest key, unless the options name some. Returns what ends that. */
  follow(ring: KeyRing): () => void {
    if (this.#options.ticketKeys !== undefined) return () => undefined;
    const apply = (): void => this.transport.setTicketKeys(ring.newest.tlsTicketKeys());
    apply();
    return ring.subscribe(apply);
  }

  /**
   * Other certificates, authorities and lists of revocations from now on. What is not named stays as it was set last. Throws what
   * node throws.
   */
  setSecureContext(context: SecureContextOptions): void {
    const whole = { ...this.#context, ...context };
    this.transport.setSecureContext(whole);
    this.#context = whole;
    this.#clients?.update({ ...this.#options, ...whole });
  }
}
