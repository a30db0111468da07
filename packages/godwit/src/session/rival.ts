/**
 * Two sessions of one id (protocol.md §10.5): a client whose OPEN was not answered opens elsewhere, under the same id, a
 * higher epoch and another secret. What the first OPEN made is a rival that no client knows of; it must never go on.
 */
import { ProtocolError, WireCode } from '../wire/index.ts';
import type { ServerSession } from './server-session.ts';
import type { TicketHead } from './ticket.ts';

/** The one here has a client of its own: who is right can't be told. Other servers may know only the one. */
export function anotherSession(): ProtocolError {
  return new ProtocolError(WireCode.Unauthenticated, 'another session of that id lives here', true);
}

/**
 * Ends `rival` for the session whose ticket head this is: the ticket, of a later epoch, proves where its client lives.
 * Throws `ProtocolError` when the rival's client has answered.
 */
export function displaceRival(rival: ServerSession | undefined, head: TicketHead): void {
  if (!rival) return;
  if (rival.isEstablished || head.epoch <= rival.highestEpoch) throw anotherSession();
  rival.abandon({ code: 'ERR_GODWIT_ABANDONED', message: 'the client opened the session elsewhere' });
}
