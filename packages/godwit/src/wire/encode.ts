/** Frames to bytes (protocol.md §4). */
import { SMALL_COPY_BYTES, concatBytes, copyBytes, writeU64 } from './bytes.ts';
import type { ProtocolError } from './codes.ts';
import { MAC_BYTES, type FrameDefinition } from './definition.ts';
import { frames, type FrameName, type FrameValue } from './frames.ts';
import { HEADER_BYTES, MAX_PAYLOAD_BYTES } from './limits.ts';
import { peerFrames, type PeerFrameName, type PeerFrameValue } from './peer-frames.ts';
import { encodeBehind, encodeStruct, planOf } from './schema.ts';

const U64_BYTES = 8;
const ACK_BYTES = 2 * U64_BYTES;

const EMPTY_HEADER = new Uint8Array(HEADER_BYTES);

/** A zero MAC, to encode a payload before its MAC is known. */
export const NO_MAC = new Uint8Array(MAC_BYTES);

/** A whole frame. Throws `RangeError` on a value that its field, or a payload that its frame cannot hold. */
export function encodeFrame<N extends FrameName>(name: N, value: FrameValue<N>): Uint8Array {
  return encodeWhole(frames[name], value);
}

export function encodePeerFrame<N extends PeerFrameName>(name: N, value: PeerFrameValue<N>): Uint8Array {
  return encodeWhole(peerFrames[name], value);
}

/** The payload of a frame without its header. Fields named `mac` must be present (zeros while it is computed). */
export function encodePayload<N extends FrameName>(name: N, value: FrameValue<N>): Uint8Array {
  return encodeStruct(frames[name].fields as never, value as never);
}

/** A whole frame around a payload. */
export function framePayload(name: FrameName, payload: Uint8Array): Uint8Array {
  return frame(frames[name], payload);
}

/** An ACK: one leaves with nearly every message, so it is made by hand. */
export function encodeAck({ received, credit }: FrameValue<'ack'>): Uint8Array {
  const whole = new Uint8Array(HEADER_BYTES + ACK_BYTES);
  writeHeader(whole, frames.ack.type, ACK_BYTES);
  writeU64(whole, HEADER_BYTES, received);
  writeU64(whole, HEADER_BYTES + U64_BYTES, credit);
  return whole;
}

/** Header of a frame, e.g. of a DATA frame whose payload is sent without a copy. */
export function encodeHeader(type: number, length: number): Uint8Array {
  if (!(length >= 0 && length <= MAX_PAYLOAD_BYTES)) throw new RangeError(`a payload of ${length} bytes`);
  const header = new Uint8Array(HEADER_BYTES);
  writeHeader(header, type, length);
  return header;
}

/** REFUSE for what went wrong; `epoch` is that of the MIGRATE, 0 without one. */
export function encodeRefusal(epoch: number, error: ProtocolError): Uint8Array {
  const { wireCode: code, tryElsewhere, message } = error;
  return encodeFrame('refuse', { epoch, code, tryElsewhere, message });
}

/** The part of a MACed payload that the MAC covers: all but the MAC, which comes last. */
export function macedPart(payload: Uint8Array): Uint8Array {
  const end = macOffset(payload);
  return end > SMALL_COPY_BYTES ? payload.subarray(0, end) : copyBytes(payload, 0, end);
}

/** Replaces the MAC at the end of a payload; a longer MAC is cut. */
export function withMac(payload: Uint8Array, mac: Uint8Array): Uint8Array {
  if (mac.byteLength < MAC_BYTES) throw new RangeError(`a MAC of ${mac.byteLength} bytes`);
  const at = macOffset(payload);
  const whole = new Uint8Array(payload);
  for (let i = 0; i < MAC_BYTES; i += 1) whole[at + i] = mac[i] as number;
  return whole;
}

function macOffset(payload: Uint8Array): number {
  if (payload.byteLength < MAC_BYTES)
    throw new RangeError(`${payload.byteLength} bytes have no room for a MAC`);
  return payload.byteLength - MAC_BYTES;
}

/** Header and payload in one buffer: the length is filled in when it is known. */
function encodeWhole({ type, max, fields }: FrameDefinition, value: object): Uint8Array {
  const whole = encodeBehind(EMPTY_HEADER, planOf(fields), value as Readonly<Record<string, unknown>>);
  writeHeader(whole, type, checkLength(whole.byteLength - HEADER_BYTES, max));
  return whole;
}

function frame({ type, max }: FrameDefinition, payload: Uint8Array): Uint8Array {
  return concatBytes([encodeHeader(type, checkLength(payload.byteLength, max)), payload]);
}

/** The receiver would end the session over a longer one. */
function checkLength(length: number, max: number): number {
  if (length > max) throw new RangeError(`a payload of ${length} bytes, of at most ${max}`);
  return length;
}

function writeHeader(into: Uint8Array, type: number, length: number): void {
  into[0] = type;
  into[1] = length >>> 16;
  into[2] = (length >>> 8) & 0xff;
  into[3] = length & 0xff;
}
