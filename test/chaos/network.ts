/**
 * Hosts for a test: network namespaces, each with one interface to a bridge, which is in a namespace of its own. So nothing
 * outside of it can be reached from there, nor the other way round, and all of it is gone when the namespaces are.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { run, runNow } from './commands.ts';

/** Addresses kept for tests of networks (RFC 2544). */
const SUBNET = '198.18.0';

/** Addresses of one host lie so far apart: it may change its own as often. */
const ADDRESSES_PER_HOST = 20;

/** Names of our namespaces begin with this and the id of the process that made them. */
export const NAMESPACE_PREFIX = 'godwit-chaos-';

/** Of the namespace with the bridge. Interfaces are called after the host at the other end. */
const SWITCH = 'switch';

/** What one host sends to another. */
export type Way = readonly [from: string, to: string];

/** Something done to the network, until it is undone. */
export interface Disturbance {
  /** Resolves to how many packets it has hit. */
  undo(): Promise<number>;
}

interface Counter {
  readonly packets: number;
}

/** The parts of nft's JSON that are looked at. */
interface Listing {
  readonly nftables: readonly {
    readonly set?: {
      readonly elem?: readonly {
        readonly elem: { readonly val: { readonly concat: readonly string[] }; readonly counter: Counter };
      }[];
    };
    readonly rule?: { readonly expr: readonly { readonly counter?: Counter }[] };
  }[];
}

let networks = 0;

export class TestNetwork {
  readonly #prefix: string;
  readonly #hosts: readonly string[];
  readonly #addresses = new Map<string, number>();
  /** How many disturbances want a way to be cut. */
  readonly #cuts = new Map<string, number>();
  readonly #onExit = (): void => this.remove();
  #tables = 0;
  /** nft changes one thing after the other. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(prefix: string, hosts: readonly string[]) {
    this.#prefix = prefix;
    this.#hosts = hosts;
    for (const [index, host] of hosts.entries()) this.#addresses.set(host, 1 + index * ADDRESSES_PER_HOST);
    // Whatever way this process ends in, short of SIGKILL; after that, the next run cleans up.
    process.prependOnceListener('exit', this.#onExit);
  }

  /** Sets up hosts with these names. Rejects when the system doesn't let us, and leaves nothing behind then. */
  static async create(hosts: readonly string[]): Promise<TestNetwork> {
    networks += 1;
    const network = new TestNetwork(`${NAMESPACE_PREFIX}${process.pid}-${networks}-`, hosts);
    try {
      await network.#create();
      return network;
    } catch (error) {
      network.remove();
      throw error;
    }
  }

  /** The address of a host; that of a client may change. */
  address(host: string): string {
    const last = this.#addresses.get(host);
    if (last === undefined) throw new Error(`there is no host called "${host}"`);
    return `${SUBNET}.${last}`;
  }

  /** A command that runs what follows it on that host. */
  launcher(host: string): string[] {
    return ['nsenter', `--net=/run/netns/${this.#prefix}${host}`, '--'];
  }

  /** Limits what goes to a host, and what comes from it, each way. */
  async shape(host: string, megabitsPerSecond: number): Promise<void> {
    const limit = ['root', 'tbf', 'rate', `${megabitsPerSecond}mbit`, 'burst', '256kb', 'latency', '50ms'];
    await run('tc', ['-n', `${this.#prefix}${SWITCH}`, 'qdisc', 'add', 'dev', host, ...limit]);
    await run('tc', ['-n', `${this.#prefix}${host}`, 'qdisc', 'add', 'dev', 'eth0', ...limit]);
  }

  /** Drops, silently, what goes these ways. */
  async cut(ways: readonly Way[]): Promise<Disturbance> {
    const keys = ways.map(([from, to]) => `"${from}" . "${to}"`);
    const fresh = keys.filter((key) => this.#count(key, 1) === 1);
    await this.#changeElements('add', fresh);
    const before = await this.#packetsCut(keys);
    return {
      undo: async () => {
        // The counters go with the elements.
        const packets = (await this.#packetsCut(keys)) - before;
        const free = keys.filter((key) => this.#count(key, -1) === 0);
        await this.#changeElements('delete', free);
        return packets;
      },
    };
  }

  /** Drops so many of a hundred packets, by chance, wherever they go. */
  async lose(percent: number): Promise<Disturbance> {
    const rule = `meta protocol ip numgen random mod 1000 < ${Math.round(percent * 10)} counter drop`;
    await this.#nft(SWITCH, `add rule bridge chaos loss ${rule}`);
    return {
      undo: async () => {
        const packets = await this.#packetsOf(SWITCH, 'chain bridge chaos loss');
        await this.#nft(SWITCH, 'flush chain bridge chaos loss');
        return packets;
      },
    };
  }

  /**
   * Answers TCP packets between the host and its peer with a reset, in place of the other end: `near` resets the host's
   * sockets, when they send; `far` those of the peer, when they do.
   */
  async reset(host: string, peer: string, ends: { near: boolean; far: boolean }): Promise<Disturbance> {
    this.#tables += 1;
    const table = `inet reset${this.#tables}`;
    const address = this.address(peer);
    const out = ends.near ? `ip daddr ${address} meta l4proto tcp counter reject with tcp reset` : '';
    const back = ends.far ? `ip saddr ${address} meta l4proto tcp counter reject with tcp reset` : '';
    const rules = `table ${table} {
      chain out { type filter hook output priority 0
        ${out}
      }
      chain back { type filter hook input priority 0
        ${back}
      }
    }`;
    await this.#nft(host, rules);
    return {
      undo: async () => {
        const packets = await this.#packetsOf(host, `table ${table}`);
        await this.#nft(host, `delete table ${table}`);
        return packets;
      },
    };
  }

  /** Gives a host another address. For `gapMs` it has none. */
  async changeAddress(host: string, gapMs: number): Promise<void> {
    const old = this.address(host);
    const last = (this.#addresses.get(host) ?? 0) + 1;
    const first = 1 + this.#hosts.indexOf(host) * ADDRESSES_PER_HOST;
    this.#addresses.set(host, last < first + ADDRESSES_PER_HOST ? last : first);
    const add = ['addr', 'add', `${this.address(host)}/24`, 'dev', 'eth0'];
    const remove = ['addr', 'del', `${old}/24`, 'dev', 'eth0'];
    const namespace = ['-n', `${this.#prefix}${host}`];
    if (gapMs === 0) {
      await run('ip', [...namespace, ...add]);
      await run('ip', [...namespace, ...remove]);
    } else {
      await run('ip', [...namespace, ...remove]);
      await wait(gapMs);
      await run('ip', [...namespace, ...add]);
    }
  }

  /** Takes all of it away. Whoever still runs there has no network any more. */
  remove(): void {
    process.off('exit', this.#onExit);
    for (const host of [SWITCH, ...this.#hosts]) runNow('ip', ['netns', 'del', `${this.#prefix}${host}`]);
  }

  async #create(): Promise<void> {
    for (const host of [SWITCH, ...this.#hosts]) await run('ip', ['netns', 'add', `${this.#prefix}${host}`]);
    const ports = this.#hosts.flatMap((host) => [
      `link add name ${host} type veth peer name eth0 netns ${this.#prefix}${host}`,
      `link set ${host} master bridge0 up`,
    ]);
    await this.#ip(SWITCH, ['link add name bridge0 type bridge', 'link set bridge0 up', ...ports]);
    for (const host of this.#hosts) {
      await this.#ip(host, [
        'link set lo up',
        'link set eth0 up',
        `addr add ${this.address(host)}/24 dev eth0`,
      ]);
      // When the first address goes, the second takes its place.
      const setting = 'echo 1 > /proc/sys/net/ipv4/conf/all/promote_secondaries';
      await this.#on(host, 'sh', ['-c', setting]);
    }
    await this.#nft(
      SWITCH,
      `table bridge chaos {
        set cut { type ifname . ifname; counter; }
        chain cut { type filter hook forward priority 0
          meta protocol ip iifname . oifname @cut drop
        }
        chain loss { type filter hook forward priority 1
        }
      }`,
    );
  }

  /** Counts who wants it; answers how many do now. */
  #count(key: string, change: number): number {
    const count = (this.#cuts.get(key) ?? 0) + change;
    this.#cuts.set(key, count);
    return count;
  }

  async #changeElements(action: 'add' | 'delete', keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.#nft(SWITCH, `${action} element bridge chaos cut { ${keys.join(', ')} }`);
  }

  async #packetsCut(keys: readonly string[]): Promise<number> {
    const listing = JSON.parse(await this.#nft(SWITCH, 'list set bridge chaos cut')) as Listing;
    let packets = 0;
    for (const { set } of listing.nftables)
      for (const { elem } of set?.elem ?? [])
        if (keys.includes(elem.val.concat.map((name) => `"${name}"`).join(' . ')))
          packets += elem.counter.packets;
    return packets;
  }

  /** Counted by the rules of a chain or table. */
  async #packetsOf(host: string, what: string): Promise<number> {
    const { nftables } = JSON.parse(await this.#nft(host, `list ${what}`)) as Listing;
    const counters = nftables.flatMap(({ rule }) => rule?.expr.flatMap(({ counter }) => counter ?? []) ?? []);
    return counters.reduce((sum, { packets }) => sum + packets, 0);
  }

  #ip(host: string, lines: readonly string[]): Promise<string> {
    const input = lines.map((line) => `${line}\n`).join('');
    return run('ip', ['-n', `${this.#prefix}${host}`, '-batch', '-'], { input });
  }

  #nft(host: string, script: string): Promise<string> {
    const change = this.#last.then(() => this.#on(host, 'nft', ['--json', script]));
    this.#last = change.catch(() => undefined);
    return change;
  }

  #on(host: string, command: string, args: readonly string[]): Promise<string> {
    const [enter = '', ...rest] = this.launcher(host);
    return run(enter, [...rest, command, ...args]);
  }
}
