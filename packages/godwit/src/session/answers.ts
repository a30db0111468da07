/** Answers to PING, which a peer can ask for without end (protocol.md §5.13). */
import { ProtocolError, WireCode, encodeFrame, type Frame } from '../wire/index.ts';

/** Frames that may wait for a carrier that takes no more when another PING is answered. Memory: about 200 bytes each. */
const MAX_UNSENT_FRAMES = 256;

/**
 * PONG, where so many frames wait already for a carrier that takes no more; 0 while it does, however many a single read asks for. Throws `ProtocolError` (LimitExceeded) for a peer that goes on asking
 * and does not take the answers.
 */
export function pongTo({ token }: Frame<'ping'>, unsentFrames: number): Uint8Array {
  if (unsentFrames >= MAX_UNSENT_FRAMES)
    throw new ProtocolError(WireCode.LimitExceeded, `PING, but ${unsentFrames} frames wait to be taken`);
  return encodeFrame('pong', { token });
}
