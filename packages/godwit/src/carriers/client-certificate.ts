/**
 * A second look at a client's certificate (protocol.md §3.4). OpenSSL looks at it in a full handshake only: a handshake
 * that resumes an older one, and an attach over a carrier that was set up an hour ago, rely on what was true then. So
 * chain, validity and revocation are looked at here, with the authorities and lists that count now.
 */
import { X509Certificate } from 'node:crypto';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { Der, TAG_INTEGER, TAG_SEQUENCE, pemBlocks } from './der.ts';

/** Longest chain that is followed, the client's own certificate included. */
const MAX_CHAIN_LENGTH = 8;

export class ClientCertificates {
  #authorities: readonly X509Certificate[] = [];
  #revocations: readonly RevocationList[] = [];

  /** Throws what node throws for certificates that are none, and `TypeError` for such a list. */
  constructor(context: Pick<SecureContextOptions, 'ca' | 'crl'>) {
    this.update(context);
  }

  update({ ca, crl }: Pick<SecureContextOptions, 'ca' | 'crl'>): void {
    const authorities = [ca ?? []].flat().flatMap((given) => pemBlocks(given, 'CERTIFICATE'));
    const revocations = [crl ?? []].flat().flatMap((given) => pemBlocks(given, 'X509 CRL'));
    this.#authorities = authorities.map((der) => new X509Certificate(der));
    this.#revocations = revocations.map(readRevocationList);
  }

  /** Why this client may not come in now; undefined when it may. `time` in milliseconds since 1970. */
  objectionTo(socket: TLSSocket, time: number): string | undefined {
    const leaf = socket.getPeerX509Certificate();
    if (leaf === undefined) return 'the client has no certificate';
    return this.#objectionToChain(leaf, time);
  }

  #objectionToChain(leaf: X509Certificate, time: number): string | undefined {
    let certificate = leaf;
    for (let depth = 0; depth < MAX_CHAIN_LENGTH; depth += 1) {
      const objection = objectionToDates(certificate, time) ?? this.#objectionToRevocation(certificate, time);
      if (objection !== undefined) return objection;
      const child = certificate;
      const issuer = this.#authorities.find(
        (authority) => child.checkIssued(authority) && child.verify(authority.publicKey),
      );
      if (issuer === undefined) return `no authority known here issued "${oneLine(child.subject)}"`;
      if (issuer.fingerprint256 === child.fingerprint256) return undefined;
      certificate = issuer;
      if (certificate.checkIssued(certificate)) return objectionToDates(certificate, time);
    }
    return `the chain is longer than ${MAX_CHAIN_LENGTH} certificates`;
  }

  #objectionToRevocation(certificate: X509Certificate, time: number): string | undefined {
    if (this.#revocations.length === 0) return undefined;
    const issuer = issuerOf(certificate);
    const lists = this.#revocations.filter((list) => list.issuer.equals(issuer));
    if (lists.length === 0) return `no list of revocations for "${oneLine(certificate.issuer)}"`;
    const serial = certificate.serialNumber.toLowerCase().replace(/^0+/, '');
    if (lists.some((list) => list.serials.has(serial))) return `"${oneLine(certificate.subject)}" is revoked`;
    const isFresh = lists.some((list) => list.nextUpdate === undefined || list.nextUpdate > time);
    return isFresh ? undefined : 'the list of revocations is out of date';
  }
}

interface RevocationList {
  /** The issuer's name as it is encoded. */
  readonly issuer: Buffer;
  /** Milliseconds since 1970. */
  readonly nextUpdate: number | undefined;
  /** Lower-case hexadecimal, without leading zeros. */
  readonly serials: ReadonlySet<string>;
}

/** RFC 5280, section 5.1. The list is the operator's own, so its signature needs no check here: OpenSSL checks it. */
function readRevocationList(encoded: Buffer): RevocationList {
  const list = new Der(encoded).enter(TAG_SEQUENCE).enter(TAG_SEQUENCE);
  if (list.tag === TAG_INTEGER) list.next(); // version
  list.next(); // signature algorithm
  const issuer = list.next();
  list.next(); // this update
  const nextUpdate = list.isTime ? list.time() : undefined;
  const serials = new Set<string>();
  if (list.tag === TAG_SEQUENCE) {
    const entries = list.enter(TAG_SEQUENCE);
    while (!entries.isAtEnd) serials.add(entries.enter(TAG_SEQUENCE).integer());
  }
  return { issuer, nextUpdate, serials };
}

/** RFC 5280, section 4.1. */
function issuerOf(certificate: X509Certificate): Buffer {
  const fields = new Der(certificate.raw).enter(TAG_SEQUENCE).enter(TAG_SEQUENCE);
  if (fields.tag !== TAG_INTEGER) fields.next(); // version
  fields.next(); // serial number
  fields.next(); // signature algorithm
  return fields.next();
}

function objectionToDates(certificate: X509Certificate, time: number): string | undefined {
  const subject = oneLine(certificate.subject);
  if (time < Date.parse(certificate.validFrom)) return `"${subject}" is not valid yet`;
  if (time > Date.parse(certificate.validTo)) return `"${subject}" has expired`;
  return undefined;
}

function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}
