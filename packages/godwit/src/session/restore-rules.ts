/** What a destination checks before it restores a session, and from what it restores it (protocol.md §7.5, §10.5). */
import {
  Delivery,
  ProtocolError,
  WireCode,
  comparePoints,
  equalBytes,
  type Frame,
  type ServerAddress,
} from '../wire/index.ts';
import type { ServerNodeConfig } from './server-config.ts';
import { ServerStreams, type SnapshotPoint } from './server-streams.ts';
import type { TransferredState } from './session-transfer.ts';
import type { TicketHead } from './ticket.ts';
import type { Tombstone } from './tombstones.ts';

/** Whether the application of this server reads states of that schema version. */
export function canRestore(config: ServerNodeConfig, schema: number): boolean {
  return config.canRestore ? config.canRestore(schema) : schema === config.schema;
}

/** Where the server is that the session leaves: one of the list, or the one that sealed the ticket. */
export function originAddress(
  config: ServerNodeConfig,
  name: string,
  head: TicketHead,
): ServerAddress | undefined {
  const known = config.servers.find((server) => server.name === name);
  if (known) return known;
  return head.server === name ? { name, host: head.host, port: head.port } : undefined;
}

/** How a server stands that is asked to take a session. */
interface Standing {
  /** What it remembers of the session. */
  readonly stone: Tombstone | undefined;
  readonly isDraining: boolean;
}

/** Throws `ProtocolError` when the session may not attach here, whatever restores it: WrongService, SessionEnded, or Draining. */
export function checkAdmission(
  config: ServerNodeConfig,
  migrate: Frame<'migrate'>,
  head: TicketHead,
  { stone, isDraining }: Standing,
): void {
  if (head.service !== config.service || migrate.service !== config.service)
    throw new ProtocolError(WireCode.WrongService, `this server serves ${config.service}`, true);
  if (head.delivery !== config.delivery)
    throw new ProtocolError(WireCode.WrongService, 'this server delivers in the other mode', true);
  // A ticket of a later epoch says that the session went on elsewhere, and that what ended here was a copy left behind; one
  // with another secret, that it was a rival, which anyone can open who knows the id.
  if (stone?.kind === 'ended' && head.epoch <= stone.epoch && equalBytes(stone.secret, head.secret))
    throw new ProtocolError(WireCode.SessionEnded, 'the session ended');
  if (isDraining) throw new ProtocolError(WireCode.Draining, 'this server is draining', true);
}

/**
 * Throws `ProtocolError` when the ticket can't restore what the client says it holds: SchemaMismatch, StalePoint,
 * Unprotected, or Protocol where the client contradicts itself.
 */
export function checkTicketRestores(
  config: ServerNodeConfig,
  migrate: Frame<'migrate'>,
  head: TicketHead,
): void {
  const refuse = (code: WireCode, message: string): never => {
    throw new ProtocolError(code, message, code !== WireCode.Protocol);
  };
  if (!head.terminal && !canRestore(config, head.schema))
    refuse(WireCode.SchemaMismatch, `this server can't read state of schema ${head.schema}`);
  if (comparePoints({ epoch: migrate.newestEpoch, k: migrate.newestK }, head) > 0)
    refuse(WireCode.StalePoint, 'the client knows a newer point than its ticket');
  if (migrate.retainedFrom > head.input)
    refuse(
      WireCode.Unprotected,
      `the client kept input from ${migrate.retainedFrom}, the ticket needs it from ${head.input}`,
    );
  if (head.delivery === Delivery.Commit && migrate.delivered > head.output)
    refuse(WireCode.Unprotected, 'output beyond the ticket was delivered');
  if (migrate.received < head.output)
    refuse(WireCode.Protocol, 'the client holds a ticket for output it does not have');
}

/** The streams of a session that starts here, at `point`, with what its origin handed over, if it did. */
export function restoreStreams(
  config: ServerNodeConfig,
  migrate: Frame<'migrate'>,
  point: SnapshotPoint,
  transfer: TransferredState | undefined,
): ServerStreams {
  return ServerStreams.restored(config.limits, config.crc32, config.delivery, {
    point,
    clientReceived: migrate.received,
    digestFrom: migrate.digestFrom,
    digest: migrate.digest,
    credit: migrate.credit,
    log: transfer?.log ?? new Uint8Array(0),
    logEndsWithFin: transfer?.receivedFin ?? false,
    tail: transfer?.tail ?? new Uint8Array(0),
    tailFrom: transfer?.tailFrom,
    check: config.delivery === Delivery.Replay,
  });
}

/** What an unprotected client has let go of beyond its ticket. */
export function lostBytes(
  migrate: Frame<'migrate'>,
  head: TicketHead,
): { input: number; output: number } | undefined {
  const output = head.delivery === Delivery.Commit ? migrate.delivered : 0;
  return migrate.retainedFrom > head.input || output > head.output
    ? { input: migrate.retainedFrom, output }
    : undefined;
}
