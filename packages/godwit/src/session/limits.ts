/** Limits and timers of both cores (protocol.md §12, §13): each has a name, a unit, a default and a cost. */

export interface ClientLimits {
  /** Output the server may send ahead of the application, staged output included, in bytes. Default 2 MiB; 64 KiB … 64 MiB. Memory: as much a session; where the other side sends it in crumbs, up to twice that and 512 KiB. */
  readonly receiveWindowBytes: number;
  /** Input kept until a ticket covers it, in bytes. Default 4 MiB; 64 KiB … 256 MiB. Memory: as much a session at the most. */
  readonly retainLimitBytes: number;
  /** Written but unsent input before `write()` answers false, in bytes. Default 1 MiB. */
  readonly sendBufferBytes: number;
  /** Largest ticket body taken from a server, in bytes. Default 1 MiB. Memory: two bodies (the whole one and the one that comes). */
  readonly maxBodyBytes: number;
  /** Output kept since the newest ticket for the divergence check, in bytes; what is above becomes a checksum. Default 4 MiB. */
  readonly digestWindowBytes: number;
  /** Most servers a session knows. Default 32. */
  readonly maxServers: number;
  /** Migrations that detectors may start within `migrationBudgetMs`. Default 4. */
  readonly migrationBudget: number;
}

export const DEFAULT_CLIENT_LIMITS: ClientLimits = {
  receiveWindowBytes: 2 * 1024 * 1024,
  retainLimitBytes: 4 * 1024 * 1024,
  sendBufferBytes: 1024 * 1024,
  maxBodyBytes: 1024 * 1024,
  digestWindowBytes: 4 * 1024 * 1024,
  maxServers: 32,
  migrationBudget: 4,
};

export interface ClientTimers {
  /** Until a carrier must be set up, in ms. Default 3,000. */
  readonly dialTimeoutMs: number;
  /** Between the set-ups of two candidates' carriers, in ms. Default 100. */
  readonly raceStaggerMs: number;
  /** Until OPEN or MIGRATE must be answered, in ms; PROGRESS starts it again, up to three times. Default 3,000. */
  readonly attachTimeoutMs: number;
  /** Until anything must be heard of a server that was asked while nothing is delivered, the first time round, in ms. Default 1,000. */
  readonly attachSilenceMs: number;
  /** Until DETACH must be answered, in ms. Default 500. */
  readonly detachTimeoutMs: number;
  /** Without a server for so long, the session ends, in ms. Default 10,000. */
  readonly giveUpTimeoutMs: number;
  /** The same where only one server is known, in ms. Default 1,200. */
  readonly giveUpSingleServerMs: number;
  /** Pause before all candidates are tried again, in ms; doubles up to `retryMaxMs`. Default 25. */
  readonly retryMinMs: number;
  /** Longest such pause, in ms. Default 500. */
  readonly retryMaxMs: number;
  /** An ACK waits at most this long, in ms. Default 25. */
  readonly ackDelayMs: number;
  /** A quiet carrier is probed with PING after this time, in ms. Default 15,000. */
  readonly pingIdleMs: number;
  /** Window in which `migrationBudget` counts, in ms. Default 30,000. */
  readonly migrationBudgetMs: number;
  /** A destroyed session that can't reach a server is forgotten after this time, in ms. Default 5,000. */
  readonly lingerMs: number;
  /** Between two looks of the detectors while bytes move, in ms. Default 100. */
  readonly detectIntervalMs: number;
}

export const DEFAULT_CLIENT_TIMERS: ClientTimers = {
  dialTimeoutMs: 3000,
  raceStaggerMs: 100,
  attachTimeoutMs: 3000,
  attachSilenceMs: 1000,
  detachTimeoutMs: 500,
  giveUpTimeoutMs: 10_000,
  giveUpSingleServerMs: 1200,
  retryMinMs: 25,
  retryMaxMs: 500,
  ackDelayMs: 25,
  pingIdleMs: 15_000,
  migrationBudgetMs: 30_000,
  lingerMs: 5000,
  detectIntervalMs: 100,
};

export interface ServerLimits {
  /** Input the client may send ahead of the application, in bytes. Default 2 MiB. Memory: as much a session; where the other side sends it in crumbs, up to twice that and 512 KiB. */
  readonly receiveWindowBytes: number;
  /** Output kept until acknowledged before `write()` answers false, in bytes. Default 2 MiB. Memory: as much a session, plus what the application writes regardless. */
  readonly outputTailBytes: number;
  /** Input kept since the newest snapshot, in bytes; 0 keeps none. Default 2 MiB. Memory: as much a session at the most. */
  readonly inputLogBytes: number;
  /** Largest state an application may export, in bytes. Default 1 MiB − 64. */
  readonly maxStateBytes: number;
  /** Carriers whose peer is not authenticated yet. Default 4,096. Memory: ≤ 4 KiB each. */
  readonly maxUnauthenticatedCarriers: number;
  /** Live sessions, and plain connections. Default 100,000. */
  readonly maxSessions: number;
  /**
   * The same from one address: of IPv6, from one network of 64 bits. More are refused with `Busy`, "try elsewhere"; a session
   * that comes back to its server never is. Clients behind one NAT share it, and all clients of a proxy: there it must be as
   * many as `maxSessions`, or none. 0: no limit. Default 50,000, half of what there are; 0 … 2^53 − 1.
   */
  readonly maxSessionsPerAddress: number;
  /** Standbys, which take some 8 KiB each. More are refused with `Busy`; their clients try again now and then. Default 50,000. */
  readonly maxStandbys: number;
  /**
   * The same from one address. A client process has one for each list of servers and each server on it that it is not attached
   * to. 0: no limit. Default 10,000; 0 … 2^53 − 1.
   */
  readonly maxStandbysPerAddress: number;
  /** Sessions that are being restored at once. Default 4,096. */
  readonly maxRestoring: number;
  /**
   * What all sessions together may hold, in bytes: input not consumed, logs, output tails, states and tickets, and 8 KiB each;
   * and plain connections: what waits in them either way, and 8 KiB each. Before it is reached, sessions are sent elsewhere
   * and new ones refused; from there on, some end (`overload`). 0: no limit.
   * Default 2 GiB; 0 … 2^53 − 1.
   */
  readonly maxMemoryBytes: number;
  /** Tombstones kept; the oldest go first. Default 100,000. Memory: 88 bytes each, and up to twice that while there is room for more. */
  readonly maxTombstones: number;
  /**
   * Sessions that the standbys of one address watch together; who watches more loses the standby. Memory: about 192 bytes each.
   * Default 262,144.
   */
  readonly maxWatched: number;
  /**
   * OPENs taken from one address in a second, as with `maxMigratesPerSecond`, before any work is done for them. 0: no limit.
   * Default 0, since a proxy, or one busy client, may open some thousand a second; 0 … 1,000,000.
   */
  readonly maxOpensPerSecond: number;
  /**
   * MIGRATEs taken from one address (of IPv6, one network of 64 bits) in a second; four seconds' worth may come at once. What
   * comes on a session's own carrier does not count. More are refused with `Busy`, "try elsewhere". 0: no limit. Default
   * 1,000; 0 … 1,000,000.
   */
  readonly maxMigratesPerSecond: number;
  /** PULLs taken from one server in a second, as with `maxMigratesPerSecond`. 0: no limit. Default 1,000; 0 … 1,000,000. */
  readonly maxPullsPerSecond: number;
  /**
   * A client that takes, or gives, fewer bytes in a second than this counts as one that takes or gives none; see
   * `slowReaderTimeoutMs` and `slowWriterTimeoutMs`. Default 64; 0 … 1,000,000,000.
   */
  readonly minBytesPerSecond: number;
  /** Snapshot bytes are at most one in so many data bytes (`replay` mode). Default 16. */
  readonly snapshotShare: number;
  /** Data bytes between two snapshots at the least (`replay` mode), in bytes. Default 256 KiB. */
  readonly snapshotIntervalBytes: number;
  /** Data bytes from which on `snapshotSoonMs` makes a snapshot due (`replay` mode), in bytes. Default 8 KiB. */
  readonly snapshotSoonBytes: number;
  /** Writes of the application from which on `snapshotBusyMs` makes a snapshot due (`replay` mode). Default 64. */
  readonly snapshotBusyWrites: number;
  /**
   * Snapshots that are due by `snapshotIntervalMs` alone, and cover less than `snapshotSoonBytes` and `snapshotBusyWrites`, of all
   * sessions together, in a second (`replay` mode); a second's worth may come at once. More are put off by `snapshotIntervalMs`, nine
   * times at the most: so much more a crash makes the next server do again. 0: no limit. Default 1,000; 0 … 1,000,000.
   */
  readonly snapshotsPerSecond: number;
}

export const DEFAULT_SERVER_LIMITS: ServerLimits = {
  receiveWindowBytes: 2 * 1024 * 1024,
  outputTailBytes: 2 * 1024 * 1024,
  inputLogBytes: 2 * 1024 * 1024,
  maxStateBytes: 1024 * 1024 - 64,
  maxUnauthenticatedCarriers: 4096,
  maxSessions: 100_000,
  maxSessionsPerAddress: 50_000,
  maxStandbys: 50_000,
  maxStandbysPerAddress: 10_000,
  maxRestoring: 4096,
  maxMemoryBytes: 2 * 1024 ** 3,
  maxTombstones: 100_000,
  maxWatched: 262_144,
  maxOpensPerSecond: 0,
  maxMigratesPerSecond: 1_000,
  maxPullsPerSecond: 1_000,
  minBytesPerSecond: 64,
  snapshotShare: 16,
  snapshotIntervalBytes: 256 * 1024,
  snapshotSoonBytes: 8 * 1024,
  snapshotBusyWrites: 64,
  snapshotsPerSecond: 1_000,
};

export interface ServerTimers {
  /** A carrier must prove itself (OPEN, MIGRATE, STANDBY) within this time, in ms. Default 10,000. */
  readonly authenticateTimeoutMs: number;
  /** An attach that is not confirmed dies after this time, in ms. Default 5,000. */
  readonly attachTimeoutMs: number;
  /** PULL must be answered within this time, in ms (and within a third of the client's budget). Default 1,000. */
  readonly pullTimeoutMs: number;
  /** A frozen session nobody confirms or thaws is destroyed after this time, in ms. Default 30,000. */
  readonly frozenTimeoutMs: number;
  /** A session without a carrier is destroyed after this time, in ms. Default 60,000. */
  readonly detachedTimeoutMs: number;
  /** Re-execution must make progress within this time, in ms. Default 10,000. */
  readonly replayTimeoutMs: number;
  /** An ended session waits this long for its last acknowledgement, in ms. Default 10,000. */
  readonly lingerMs: number;
  /**
   * Progress without a snapshot for so long makes one due, in ms; where many sessions have made some, up to ten times as long
   * (`snapshotsPerSecond`). Default 1,000; 1 … 2,147,483,647.
   */
  readonly snapshotIntervalMs: number;
  /** Between two snapshots that are due by bytes (`replay` mode), in ms, unless four times as many bytes have moved. Default 1. */
  readonly snapshotPaceMs: number;
  /** Since the last snapshot, when `snapshotSoonBytes` have moved, in ms (`replay` mode): so much work is done twice after a crash. Default 10. */
  readonly snapshotSoonMs: number;
  /** The same when the application has written `snapshotBusyWrites` times: a write costs more than its bytes. Default 1. */
  readonly snapshotBusyMs: number;
  /** A client blocked by a missing snapshot goes on unprotected after this time, in ms. Default 200. */
  readonly unprotectAfterMs: number;
  /** An ACK waits at most this long, in ms. Default 25. */
  readonly ackDelayMs: number;
  /** A quiet carrier is probed with PING after this time, in ms. Default 15,000. */
  readonly pingIdleMs: number;
  /**
   * A standby on which nothing was heard for this time is closed, in ms; after one and two thirds of it, its client is asked
   * with PING, so that none that lives is closed. Default 45,000.
   */
  readonly standbyIdleTimeoutMs: number;
  /** Tickets are good for this long, in ms; live sessions get fresh ones at half of it. Default 3,600,000 (one hour). */
  readonly ticketLifetimeMs: number;
  /**
   * An origin that took no part in a hand-over gets RELEASE so long after the client's CONFIRM, in ms, when the client no
   * longer waits for its bytes; and again after 12 and 80 times as long, since it may be stopped or cut off. Default 250.
   */
  readonly releaseDelayMs: number;
  /**
   * A client for which output has waited so long, and which took hardly any (`minBytesPerSecond`), is reset with `TooSlow`,
   * in ms; also where only its application does not read. A plain client is seen to take bytes only as the operating system
   * does, some hundred KiB at once, and its connection is reset. 0: never. Default 0; 0, or 100 … 86,400,000.
   */
  readonly slowReaderTimeoutMs: number;
  /**
   * A client that began a frame so long ago, and hardly went on with it (`minBytesPerSecond`), is reset with `TooSlow`, in ms.
   * 0: never. Default 60,000; 0, or 100 … 86,400,000.
   */
  readonly slowWriterTimeoutMs: number;
  /** The fence must answer within this time, in ms; after it a ticket that it held back is asked for again. Default 1,000. */
  readonly fenceTimeoutMs: number;
  /** PROGRESS is sent to the client so often while a PULL lasts, in ms. Default 250. */
  readonly progressIntervalMs: number;
}

export const DEFAULT_SERVER_TIMERS: ServerTimers = {
  authenticateTimeoutMs: 10_000,
  attachTimeoutMs: 5000,
  pullTimeoutMs: 1000,
  frozenTimeoutMs: 30_000,
  detachedTimeoutMs: 60_000,
  replayTimeoutMs: 10_000,
  lingerMs: 10_000,
  snapshotIntervalMs: 1000,
  snapshotPaceMs: 1,
  snapshotSoonMs: 10,
  snapshotBusyMs: 1,
  unprotectAfterMs: 200,
  ackDelayMs: 25,
  pingIdleMs: 15_000,
  standbyIdleTimeoutMs: 45_000,
  ticketLifetimeMs: 3_600_000,
  releaseDelayMs: 250,
  slowReaderTimeoutMs: 0,
  slowWriterTimeoutMs: 60_000,
  fenceTimeoutMs: 1000,
  progressIntervalMs: 250,
};
