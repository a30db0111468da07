/** Who is in the cluster: a list, a function or a DNS name, read again and again (protocol.md §9.5). */
import { createHash } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { formatAddress, parseAddress, unixPathOf } from '../carriers/address.ts';
import { argumentError } from '../errors.ts';
import { encodeText, type ServerAddress } from '../wire/index.ts';

/** How often a function or a DNS name is asked again, in milliseconds. Default of `refreshIntervalMs`. */
export const MEMBERS_REFRESH_MS = 10_000;

/** Most members that a list may have; what comes behind is left out, and reported. */
export const MAX_MEMBERS = 1024;

/** Longest name and host of a member, in bytes of UTF-8 (protocol.md §12.1). */
const MAX_NAME_BYTES = 64;
const MAX_HOST_BYTES = 128;

/**
 * A server: `host:port` (IPv6 as `[::1]:7000`), `unix:/path` for one that listens there on the same machine, `dns:host:port`
 * for every address behind a name, or its parts.
 */
export type MemberInput =
  string | { readonly name?: string | undefined; readonly host: string; readonly port: number };

/** The `members` option. */
export type MembersOption =
  MemberInput | readonly MemberInput[] | (() => readonly MemberInput[] | Promise<readonly MemberInput[]>);

export interface MembersOptions {
  /** This server, which is left out, by its name as well as by its address. */
  readonly self: () => ServerAddress;
  /** Called when the list is another than before; the first one included, unless it is empty. */
  readonly onChange: (members: readonly ServerAddress[]) => void;
  /** A refresh failed, or an entry was wrong; the list stays as it was. */
  readonly onError?: ((error: Error) => void) | undefined;
  readonly refreshIntervalMs?: number | undefined;
  /** All addresses of a host; node's resolver by default. */
  readonly resolve?: ((host: string) => Promise<readonly string[]>) | undefined;
}

export class Members {
  readonly #source: readonly MemberInput[] | (() => readonly MemberInput[] | Promise<readonly MemberInput[]>);
  readonly #options: MembersOptions;
  #list: readonly ServerAddress[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Refreshes are numbered, so that a slow one can not undo a later one. */
  #started = 0;
  #applied = 0;
  #isClosed = false;

  /** Throws `TypeError` or `RangeError` on an entry of a fixed list that is no address. */
  constructor(source: MembersOption, options: MembersOptions) {
    this.#source = typeof source === 'string' || 'host' in source ? [source] : source;
    this.#options = options;
    if (typeof this.#source !== 'function') {
      for (const input of this.#source) if (!isDns(input)) parseMember(input);
    }
  }

  /** The members as last read, this server left out. */
  get list(): readonly ServerAddress[] {
    return this.#list;
  }

  /** Reads the list for the first time, and again at each interval if it can change. Never rejects. */
  async start(): Promise<void> {
    await this.refresh();
    if (this.#isClosed || !this.#canChange()) return;
    const intervalMs = this.#options.refreshIntervalMs ?? MEMBERS_REFRESH_MS;
    this.#timer = setInterval(() => void this.refresh(), intervalMs).unref();
  }

  /** Reads the list now. Never rejects. */
  async refresh(): Promise<void> {
    this.#started += 1;
    const number = this.#started;
    let members: ServerAddress[];
    try {
      members = await this.#read();
    } catch (error) {
      if (!this.#isClosed) this.#options.onError?.(error as Error);
      return;
    }
    if (this.#isClosed || number < this.#applied) return;
    this.#applied = number;
    if (JSON.stringify(members) === JSON.stringify(this.#list)) return;
    this.#list = members;
    this.#options.onChange(members);
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  #canChange(): boolean {
    return typeof this.#source === 'function' || this.#source.some(isDns);
  }

  async #read(): Promise<ServerAddress[]> {
    const inputs = typeof this.#source === 'function' ? await this.#source() : this.#source;
    const found = await Promise.all(inputs.map((input) => this.#resolve(input)));
    const self = this.#options.self();
    const members = new Map<string, ServerAddress>();
    for (const member of found.flat()) {
      const isSelf = member.name === self.name || (member.host === self.host && member.port === self.port);
      if (!isSelf && !members.has(member.name)) members.set(member.name, member);
    }
    // Resolvers turn their answers round at each call; that is no change.
    const sorted = [...members.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    if (sorted.length > MAX_MEMBERS) {
      this.#options.onError?.(new RangeError(`${sorted.length} members, of which ${MAX_MEMBERS} are used`));
    }
    return sorted.slice(0, MAX_MEMBERS);
  }

  async #resolve(input: MemberInput): Promise<ServerAddress[]> {
    if (!isDns(input)) return [parseMember(input)];
    const { host, port } = parseMember(input.slice('dns:'.length));
    const addresses = await (this.#options.resolve ?? resolveAll)(host);
    return addresses.map((address) => parseMember({ host: address, port }));
  }
}

/** The address of one member; its name is `host:port` unless it has one. Throws `TypeError` or `RangeError`. */
export function parseMember(input: MemberInput): ServerAddress {
  const { name, host, port } = typeof input === 'string' ? splitAddress(input) : input;
  if (typeof host !== 'string' || host === '')
    throw argumentError(
      TypeError,
      'ERR_INVALID_ARG_VALUE',
      `a member needs a host: ${JSON.stringify(input)}`,
    );
  const isUnix = unixPathOf(host) !== undefined;
  if (!Number.isInteger(port) || port < (isUnix ? 0 : 1) || port > (isUnix ? 0 : 65_535)) {
    throw argumentError(
      RangeError,
      'ERR_OUT_OF_RANGE',
      isUnix
        ? `a Unix socket has port 0: ${port}`
        : `the port of member ${host} is not in 1 … 65535: ${port}`,
    );
  }
  const member = { name: name ?? nameOf({ host, port }), host, port };
  if (encodeText(host).byteLength > MAX_HOST_BYTES) {
    throw argumentError(
      RangeError,
      'ERR_OUT_OF_RANGE',
      `the host of a member is longer than ${MAX_HOST_BYTES} bytes: ${host}`,
    );
  }
  if (member.name === '' || encodeText(member.name).byteLength > MAX_NAME_BYTES) {
    throw argumentError(
      RangeError,
      'ERR_OUT_OF_RANGE',
      `a member needs a name of 1 … ${MAX_NAME_BYTES} bytes: ${member.name}`,
    );
  }
  return member;
}

/** A server without a name is called by its address; by a hash of it where that is a long path. */
function nameOf(address: { readonly host: string; readonly port: number }): string {
  const text = formatAddress(address);
  if (unixPathOf(address.host) === undefined || encodeText(text).byteLength <= MAX_NAME_BYTES) return text;
  return `unix:${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
}

function splitAddress(text: string): { name?: string; host: string; port: number } {
  const address = parseAddress(text);
  if (address === undefined)
    throw argumentError(TypeError, 'ERR_INVALID_ARG_VALUE', `not a host:port: ${text}`);
  return address;
}

function isDns(input: MemberInput): input is string {
  return typeof input === 'string' && input.startsWith('dns:');
}

async function resolveAll(host: string): Promise<string[]> {
  const addresses = await lookup(host, { all: true });
  return addresses.map(({ address }) => address);
}
