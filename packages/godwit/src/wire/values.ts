/** What the numbered fields of frames may say (protocol.md §5.3). */

/** How a migration came about (MIGRATE `cause`). */
export const Cause = {
  /** The carrier broke. */
  CarrierLost: 0,
  /** An answer was overdue. */
  Stall: 1,
  /** Throughput fell below its floor. */
  Throughput: 2,
  /** The round trip of PING became too long. */
  PingRtt: 3,
  /** The client's application asked. */
  Application: 4,
  /** The origin asked, with a TRIGGER. */
  Origin: 5,
  /** Another server asked, with a TRIGGER over its standby. */
  OtherServer: 6,
  /** The client has another address now. */
  AddressChanged: 7,
} as const;
export type Cause = (typeof Cause)[keyof typeof Cause];
export const CAUSE_NAME = [
  'carrier-lost',
  'stall',
  'throughput',
  'ping-rtt',
  'application',
  'origin',
  'other-server',
  'address-changed',
] as const;
export type CauseName = (typeof CAUSE_NAME)[number];

/** What the client knows of the server the session leaves (MIGRATE `originState`). */
export const OriginState = {
  /** Alive as far as the client knows: the destination should PULL. */
  Unknown: 0,
  /** A reset was seen, or it answered nothing: the destination skips PULL. */
  Dead: 1,
  /** It answered DETACH: the ticket is its newest. */
  Detached: 2,
} as const;
export type OriginState = (typeof OriginState)[keyof typeof OriginState];

/** Where the restored state came from (ACCEPT `source`). */
export const Source = {
  /** It never left: the session goes on at the server that has it. */
  Resume: 0,
  /** The origin handed it over. */
  Origin: 1,
  /** The client's ticket. */
  Ticket: 2,
  /** The snapshot store. */
  Store: 3,
} as const;
export type Source = (typeof Source)[keyof typeof Source];
export const SOURCE_NAME = ['resume', 'origin', 'ticket', 'store'] as const;
export type SourceName = (typeof SOURCE_NAME)[number];

/** Delivery mode (SUPPORT `delivery`). */
export const Delivery = {
  /** After a crash the application executes again from the newest snapshot. */
  Replay: 0,
  /** Output counts only together with the snapshot that covers it. */
  Commit: 1,
} as const;
export type Delivery = (typeof Delivery)[keyof typeof Delivery];

/** Why a session is unprotected (UNPROTECTED `reason`). */
export const UnprotectedReason = {
  /** The application exports no state, or not often enough. */
  NoExport: 0,
  /** Its state does not fit into a ticket that the client takes. */
  TicketTooLarge: 1,
} as const;
export type UnprotectedReason = (typeof UnprotectedReason)[keyof typeof UnprotectedReason];
