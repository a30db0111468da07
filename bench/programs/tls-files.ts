/** The certificate of benchmarks, good for 100 years and for nothing else: its key is public. */
import { readFileSync } from 'node:fs';

// Programs run in the root of the repository.
const folder = 'bench/fixtures';

export const CERTIFICATE = readFileSync(`${folder}/tls-certificate.pem`);
export const KEY = readFileSync(`${folder}/tls-key.pem`);

/** The name that the certificate is made out to. */
export const TLS_SERVER_NAME = 'localhost';
