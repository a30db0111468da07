/** The first bytes of every carrier (protocol.md §3): what tells a Godwit peer from any other. */
import { equalBytes } from './bytes.ts';
import { ProtocolError, WireCode } from './codes.ts';
import { PROTOCOL_VERSION } from './limits.ts';

/** `godwit\r\n`: no method of HTTP, no TLS record, and a line of its own in a log. */
const MAGIC = Uint8Array.of(0x67, 0x6f, 0x64, 0x77, 0x69, 0x74, 0x0d, 0x0a);

export const PREFACE_BYTES = 12;

/** `Trunk`: a client's connection, in which channels begin as carriers do (§3.6). */
export const Role = { Client: 0, Peer: 1, Trunk: 2 } as const;
export type Role = (typeof Role)[keyof typeof Role];

export interface Preface {
  /** The version the bytes behind the preface are written in. */
  readonly version: number;
  /** The oldest version the sender could speak instead. */
  readonly minVersion: number;
  readonly role: Role;
}

export function encodePreface(role: Role): Uint8Array {
  const preface = new Uint8Array(PREFACE_BYTES);
  preface.set(MAGIC);
  preface[8] = PROTOCOL_VERSION;
  preface[9] = PROTOCOL_VERSION;
  preface[10] = role;
  return preface;
}

/** True as long as `bytes` could still be the beginning of a preface: a server need not wait for all 12 to tell a stranger. */
export function mayBePreface(bytes: Uint8Array): boolean {
  const length = Math.min(bytes.byteLength, MAGIC.byteLength);
  return equalBytes(bytes.subarray(0, length), MAGIC.subarray(0, length));
}

/** Throws `ProtocolError`: Protocol for a stranger, Version for a version this code does not speak. */
export function decodePreface(bytes: Uint8Array): Preface {
  if (bytes.byteLength < PREFACE_BYTES || !mayBePreface(bytes))
    throw new ProtocolError(WireCode.Protocol, 'the peer does not speak Godwit');
  const version = bytes[8] as number;
  const minVersion = bytes[9] as number;
  const role = bytes[10] as number;
  if (version !== PROTOCOL_VERSION) {
    throw new ProtocolError(
      WireCode.Version,
      `the peer speaks version ${version} (oldest ${minVersion}); this is version ${PROTOCOL_VERSION}`,
    );
  }
  if (minVersion === 0 || minVersion > version) {
    throw new ProtocolError(WireCode.Protocol, `the oldest version is ${minVersion}, not in 1 … ${version}`);
  }
  if (role > Role.Trunk) throw new ProtocolError(WireCode.Protocol, `unknown role ${role} in the preface`);
  if (bytes[11] !== 0) throw new ProtocolError(WireCode.Protocol, 'reserved byte of the preface is not 0');
  return { version, minVersion, role: role as Role };
}
