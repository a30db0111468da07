/** What a server node is told at its creation. */
import type { Delivery, ServerAddress } from '../wire/index.ts';
import type { Crc32 } from './digest-window.ts';
import type { ServerLimits, ServerTimers } from './limits.ts';
import type { FenceConfig } from './session-fence.ts';

export interface ServerNodeConfig {
  /** Unique in the cluster, at most 64 bytes. */
  readonly name: string;
  /** The address clients and peers use, host at most 128 bytes. */
  readonly host: string;
  readonly port: number;
  readonly service: string;
  readonly delivery: Delivery;
  /** The application's schema version of the state, 0 … 2^32 − 1. */
  readonly schema: number;
  /** Public half of the present key pair. */
  readonly keyShare: () => Uint8Array;
  readonly random: (bytes: number) => Uint8Array;
  /** 32 bits that clients do not know: they choose the ids of sessions, by which these are looked up. Default 0. */
  readonly hashSeed?: number;
  readonly crc32: Crc32;
  readonly limits: ServerLimits;
  readonly timers: ServerTimers;
  /** Milliseconds since 1970, for the expiry of tickets. */
  readonly wallClock: () => number;
  /** Every member of the cluster that clients may be sent to, this one included. */
  readonly servers: readonly ServerAddress[];
  /** Whether the application is asked before a client begins, or takes up, a session. Default false. */
  readonly authorizes?: boolean | undefined;
  /** There is a fence, and how it is used. Default: there is none. */
  readonly fence?: FenceConfig | undefined;
  /** Whether the application can read a state of that schema version. Default: only its own. */
  readonly canRestore?: ((schema: number) => boolean) | undefined;
}
