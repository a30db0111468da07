/** Under what name a fence keeps a session (protocol.md §10.10): who sees the store learns no session id and no secret. */
import { encodeText, toHex } from '../wire/index.ts';
import { hmacSha256 } from './hmac.ts';

const LABEL = encodeText('godwit/1 fence\0');
const KEY_BYTES = 16;

/** 32 hexadecimal digits. */
export function fenceKey(secret: Uint8Array, sessionId: Uint8Array): string {
  return toHex(hmacSha256(secret, [LABEL, sessionId]).subarray(0, KEY_BYTES));
}
