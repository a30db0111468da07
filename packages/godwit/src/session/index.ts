/** The protocol core: both ends of a session, without I/O, clock or chance (protocol.md §10). */
export { challengeOf, type Challenge } from './candidate-race.ts';
export type * from './client-events.ts';
export type { ClientSessionConfig } from './client-core.ts';
export { ClientSession } from './client-session.ts';
export { CLIENT_TRANSITIONS, type ClientState, type ClientTransition } from './client-state.ts';
export * from './crypto.ts';
export * from './detectors.ts';
export type * from './fence-rules.ts';
export type { Crc32 } from './digest-window.ts';
export * from './limits.ts';
export {
  overloadPolicy,
  type EndBy,
  type OverloadOptions,
  type OverloadPolicy,
  type Relief,
  type ServerLoad,
} from './overload.ts';
export type { Occupant, Places } from './places.ts';
export type { ServerNodeConfig } from './server-config.ts';
export type * from './server-events.ts';
export type { NodePopulation } from './node-population.ts';
export { ServerPulses } from './server-pulses.ts';
export { ServerNode } from './server-node.ts';
export { ServerSession } from './server-session.ts';
export type { FenceConfig } from './session-fence.ts';
export { SERVER_TRANSITIONS, type ServerState, type ServerTransition } from './server-state.ts';
export { AssertionFailure, nextState, type TransitionTable } from './state-table.ts';
export { decodeTicketHead, encodeTicketHead, type TicketHead } from './ticket.ts';
