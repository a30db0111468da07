/** Frames to bytes (protocol.md §4). */
import { concatBytes } from './bytes.ts';
import { MAC_BYTES, type FrameDefinition } from './definition.ts';
import { frames, type FrameName, type FrameValue } from './frames.ts';
import { MAX_PAYLOAD_BYTES } from './limits.ts';
import { peerFrames, type PeerFrameName, type PeerFrameValue } from './peer-frames.ts';
import { encodeStruct } from './schema.ts';

/** A zero MAC, to encode a payload before its MAC is known. */
export const NO_MAC = new Uint8Array(MAC_BYTES);

/** A whole frame. Throws `RangeError` on a value that its field, or a payload that its frame cannot hold. */
export function encodeFrame<N extends FrameName>(name: N, value: FrameValue<N>): Uint8Array {
  return framePayload(name, encodePayload(name, value));
}

export function encodePeerFrame<N extends PeerFrameName>(name: N, value: PeerFrameValue<N>): Uint8Array {
  return frame(peerFrames[name], encodeStruct(peerFrames[name].fields as never, value as never));
}

/** The payload of a frame without its header. Fields named `mac` must be present (zeros while it is computed). */
export function encodePayload<N extends FrameName>(name: N, value: FrameValue<N>): Uint8Array {
  return encodeStruct(frames[name].fields as never, value as never);
}

/** A whole frame around a payload. */
export function framePayload(name: FrameName, payload: Uint8Array): Uint8Array {
  return frame(frames[name], payload);
}

/** Header of a frame, e.g. of a DATA frame whose payload is sent without a copy. */
export function encodeHeader(type: number, length: number): Uint8Array {
  if (!(length >= 0 && length <= MAX_PAYLOAD_BYTES)) throw new RangeError(`a payload of ${length} bytes`);
  return Uint8Array.of(type, length >>> 16, (length >>> 8) & 0xff, length & 0xff);
}

/** The part of a MACed payload that the MAC covers: all but the MAC, which comes last. */
export function macedPart(payload: Uint8Array): Uint8Array {
  if (payload.byteLength < MAC_BYTES)
    throw new RangeError(`${payload.byteLength} bytes have no room for a MAC`);
  return payload.subarray(0, payload.byteLength - MAC_BYTES);
}

/** Replaces the MAC at the end of a payload; a longer MAC is cut. */
export function withMac(payload: Uint8Array, mac: Uint8Array): Uint8Array {
  if (mac.byteLength < MAC_BYTES) throw new RangeError(`a MAC of ${mac.byteLength} bytes`);
  return concatBytes([macedPart(payload), mac.subarray(0, MAC_BYTES)]);
}

function frame({ type, max }: FrameDefinition, payload: Uint8Array): Uint8Array {
  // The receiver would end the session over it.
  if (payload.byteLength > max)
    throw new RangeError(`a payload of ${payload.byteLength} bytes, of at most ${max}`);
  return concatBytes([encodeHeader(type, payload.byteLength), payload]);
}
