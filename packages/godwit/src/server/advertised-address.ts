/** The address that a server tells clients and peers, where it is not told one. */
import os from 'node:os';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { unixAddress } from '../carriers/address.ts';

const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/**
 * A server that listens on every address can't know by which one it is reached; the first of this machine's that is no
 * loopback is the best guess.
 */
export function advertisedAddress(
  advertise: { readonly host: string; readonly port: number | undefined } | undefined,
  listening: AddressInfo | { address: string; port: number } | string | null,
): { host: string; port: number } {
  if (typeof listening === 'string') {
    if (advertise !== undefined) return { host: advertise.host, port: advertise.port ?? 0 };
    // Whoever dials may live in another folder. Abstract sockets of Linux lie in none.
    return unixAddress(listening.startsWith('\0') ? listening : path.resolve(listening));
  }
  const bound = listening ?? { address: '127.0.0.1', port: 0 };
  if (advertise !== undefined) return { host: advertise.host, port: advertise.port ?? bound.port };
  return { host: UNSPECIFIED.has(bound.address) ? ownAddress() : bound.address, port: bound.port };
}

function ownAddress(): string {
  const all = Object.values(os.networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const outside = all.filter(({ internal }) => !internal);
  return (outside.find(({ family }) => family === 'IPv4') ?? outside[0])?.address ?? '127.0.0.1';
}
