export { fenceKey } from './fence-key.ts';
export * from './key-file.ts';
export * from './key-ring.ts';
export { NodeCrypto, type NodeCryptoOptions } from './node-crypto.ts';
export { crc32, random } from './random.ts';
