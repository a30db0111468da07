/** The cryptography of every client session of the process. Clients hold no keys of the cluster. */
import { NodeCrypto } from '../crypto/index.ts';

export const clientCrypto = new NodeCrypto();
