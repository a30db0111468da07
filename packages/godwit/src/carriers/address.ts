/**
 * Addresses of servers as text. A Unix socket (on Windows, a named pipe) has a path instead of a host and a port; as an address
 * it is `unix:` and the path for a host, and port 0 (protocol.md §9.5).
 */
import { isIPv6 } from 'node:net';
import type { DialAddress } from './carrier.ts';

const UNIX = 'unix:';

export function unixAddress(path: string): DialAddress {
  return { host: UNIX + path, port: 0 };
}

/** Undefined where the host is not one of `unixAddress`. */
export function unixPathOf(host: string): string | undefined {
  return host.startsWith(UNIX) ? host.slice(UNIX.length) : undefined;
}

/** `host:port`, `[::1]:port`, `unix:/path`. */
export function formatAddress({ host, port }: DialAddress): string {
  if (unixPathOf(host) !== undefined) return host;
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Reads what `formatAddress` writes. The port may be out of range; undefined for what is no address at all. */
export function parseAddress(text: string): DialAddress | undefined {
  const path = unixPathOf(text);
  if (path !== undefined) return path === '' ? undefined : unixAddress(path);
  const match = /^(?:\[(?<v6>[0-9a-fA-F:.%a-z]+)\]|(?<host>[^:[\]\s]+)):(?<port>\d{1,5})$/.exec(text);
  const { v6, host, port } = match?.groups ?? {};
  return port === undefined ? undefined : { host: v6 ?? host ?? '', port: Number(port) };
}

/**
 * What limits for each address count by: an IPv4 address, or the first 64 bits of an IPv6 address, since whoever has one of
 * those has them all.
 */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(?<v4>\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.groups?.v4;
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [left = '', right] = address.replace(/%.*$/, '').toLowerCase().split('::');
  const before = left === '' ? [] : left.split(':');
  const after = right === undefined || right === '' ? [] : right.split(':');
  // A dotted end takes the room of two groups, of which none is among the first four.
  const missing = 8 - before.length - after.length - (after.at(-1)?.includes('.') === true ? 1 : 0);
  const groups =
    right === undefined ? before : [...before, ...new Array<string>(missing).fill('0'), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
