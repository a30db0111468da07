/** Authorities, certificates and lists of revocations, made when a test needs them: none can expire in the repository. */
import type { webcrypto } from 'node:crypto';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

type KeyPair = webcrypto.CryptoKeyPair;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** For a server whose clients may send it a secret under its key. */
export const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
  hash: 'SHA-256',
} as const;

type KeyAlgorithm = typeof ALGORITHM | typeof RSA;

const DAY_MS = 24 * 60 * 60_000;

x509.cryptoProvider.set(globalThis.crypto as never);

/** PEM, as node takes it. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
  readonly serial: string;
}

export interface Validity {
  readonly from?: Date;
  readonly to?: Date;
}

export class Authority {
  readonly ca: string;
  readonly #certificate: x509.X509Certificate;
  readonly #keys: KeyPair;
  #serial = 1;

  private constructor(certificate: x509.X509Certificate, keys: KeyPair) {
    this.#certificate = certificate;
    this.#keys = keys;
    this.ca = certificate.toString('pem');
  }

  static async create(name: string): Promise<Authority> {
    const keys = await makeKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name: `CN=${name}`,
      ...datesOf({}),
      keys: keys as never,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      ],
    });
    return new Authority(certificate, keys);
  }

  async issue(name: string, validity: Validity = {}, algorithm: KeyAlgorithm = ALGORITHM): Promise<Identity> {
    this.#serial += 1;
    const serial = this.#serial.toString(16).padStart(2, '0');
    const keys = await makeKeys(algorithm);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serial,
      subject: `CN=${name}`,
      issuer: this.#certificate.subject,
      ...datesOf(validity),
      publicKey: keys.publicKey as never,
      signingKey: this.#keys.privateKey as never,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.SubjectAlternativeNameExtension([
          { type: 'dns', value: name },
          { type: 'dns', value: 'localhost' },
          { type: 'ip', value: '127.0.0.1' },
        ]),
      ],
    });
    const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
    const lines = der.toString('base64').match(/.{1,64}/g) as string[];
    const key = `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`;
    return { cert: certificate.toString('pem'), key, serial };
  }

  /** A list of revocations. `nextUpdate` defaults to tomorrow. */
  async revoke(identities: readonly Identity[], nextUpdate = new Date(Date.now() + DAY_MS)): Promise<string> {
    const list = await x509.X509CrlGenerator.create({
      issuer: this.#certificate.subject,
      thisUpdate: new Date(Date.now() - DAY_MS),
      nextUpdate,
      signingKey: this.#keys.privateKey as never,
      signingAlgorithm: ALGORITHM,
      entries: identities.map(({ serial }) => ({ serialNumber: serial, revocationDate: new Date() })),
    });
    // OpenSSL's label for it.
    return list
      .toString('pem')
      .replaceAll('BEGIN CRL', 'BEGIN X509 CRL')
      .replaceAll('END CRL', 'END X509 CRL');
  }
}

function makeKeys(algorithm: KeyAlgorithm = ALGORITHM): Promise<KeyPair> {
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

function datesOf({ from, to }: Validity): { notBefore: Date; notAfter: Date } {
  return {
    notBefore: from ?? new Date(Date.now() - DAY_MS),
    notAfter: to ?? new Date(Date.now() + DAY_MS),
  };
}
