/** Whether a client may come in: its certificate, then the application's word (protocol.md §10.5). */
import type { TLSSocket } from 'node:tls';
import type { Carrier } from '../carriers/carrier.ts';
import type { CryptoRequest, CryptoResult } from '../session/crypto.ts';
import { toHex } from '../wire/index.ts';
import type { ServerTls } from './server-tls.ts';

/** What `authorize` is told. */
export interface AuthorizationRequest {
  /**
   * `open`: a new session. `migrate`: one that comes here, or comes back: it has proved to be that session's client. `plain`:
   * a connection of a client that does not speak Godwit, where such are served.
   */
  readonly kind: 'open' | 'migrate' | 'plain';
  /** 32 hexadecimal digits. Of an `open` it is the client's choice; of a plain connection it is empty. */
  readonly sessionId: string;
  readonly service: string;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  /** The carrier's TLS: `getPeerX509Certificate()` is who the client is. Undefined over TCP. */
  readonly tls: TLSSocket | undefined;
}

/** True: come in. False: no, and at no other server. `'elsewhere'`: not here, but another server may be asked. */
export type AuthorizationAnswer = boolean | 'elsewhere';

/**
 * Asked before anything is made or fetched for a session, and again for each migration. A rejection, or a throw, turns the
 * client away with "try elsewhere"; 'refused' tells of it.
 */
export type Authorize = (request: AuthorizationRequest) => AuthorizationAnswer | Promise<AuthorizationAnswer>;

type Question = Pick<CryptoRequest<'authorize'>, 'sessionId'> & Pick<AuthorizationRequest, 'kind'>;
type Verdict = CryptoResult<'authorize'>;

export class Authorization {
  readonly #service: string;
  readonly #tls: ServerTls | undefined;
  readonly #authorize: Authorize | undefined;

  constructor(service: string, tls: ServerTls | undefined, authorize: Authorize | undefined) {
    this.#service = service;
    this.#tls = tls;
    this.#authorize = authorize;
  }

  /** Whether anybody is to be asked at all. */
  get isNeeded(): boolean {
    return this.#authorize !== undefined || this.#tls?.demandsCertificates === true;
  }

  /** Answers at once where it can. */
  decide(question: Question, carrier: Carrier | undefined, then: (verdict: Verdict) => void): void {
    const objection = carrier?.tls && this.#tls?.objectionTo(carrier.tls);
    if (objection !== undefined) then(denied(objection.message, false));
    else this.#ask(question, carrier, then);
  }

  #ask({ kind, sessionId }: Question, carrier: Carrier | undefined, then: (verdict: Verdict) => void): void {
    if (this.#authorize === undefined) {
      then({ denied: undefined });
      return;
    }
    const request: AuthorizationRequest = {
      kind,
      sessionId: toHex(sessionId),
      service: this.#service,
      remoteAddress: carrier?.remoteAddress,
      remotePort: carrier?.remotePort,
      tls: carrier?.tls,
    };
    const failed = (error: unknown): void => then(denied(`authorize failed: ${String(error)}`, true));
    try {
      const answer = this.#authorize(request);
      if (answer instanceof Promise) answer.then((late) => then(verdictOf(late)), failed);
      else then(verdictOf(answer));
    } catch (error) {
      failed(error);
    }
  }
}

/** Anything but true is a no: a forgotten `return` lets nobody in. */
function verdictOf(answer: AuthorizationAnswer): Verdict {
  if (answer === true) return { denied: undefined };
  return denied('the application does not want this client', answer === 'elsewhere');
}

function denied(message: string, tryElsewhere: boolean): Verdict {
  return { denied: { message, tryElsewhere } };
}
