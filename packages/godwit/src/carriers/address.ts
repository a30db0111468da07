/**
 * Addresses of servers as text. A Unix socket (on Windows, a named pipe) has a path instead of a host and a port; as an address
 * it is `unix:` and the path for a host, and port 0 (protocol.md §9.5).
 */
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
