/**
 * States of a client session (protocol.md §14.1).
 *
 *   opening ──support──▶ attached ──migrate──▶ migrating ──accept──▶ attached
 *      │                    │  ▲                  │   └──give back──▶ attached
 *      │                    │  └────accept────┐   │ carrier lost
 *      │              carrier lost            │   ▼
 *      │                    └──────────▶ recovering
 *      └──────────────── fail / close / reset ──▶ closed
 */
import type { TransitionTable } from './state-table.ts';

export type ClientState = 'opening' | 'attached' | 'migrating' | 'recovering' | 'closed';

export type ClientTransition =
  /** SUPPORT was verified. */
  | 'support'
  /** A migration began while the old carrier lives. */
  | 'migrate'
  /** A destination accepted. */
  | 'accept'
  /** A planned migration was given up; the session stays where it is. */
  | 'giveBack'
  /** The session's carrier is gone. */
  | 'carrierLost'
  /** Over, with or without an error. */
  | 'close';

export const CLIENT_TRANSITIONS: TransitionTable<ClientState, ClientTransition> = {
  opening: { support: 'attached', close: 'closed' },
  attached: { migrate: 'migrating', carrierLost: 'recovering', close: 'closed' },
  migrating: { accept: 'attached', giveBack: 'attached', carrierLost: 'recovering', close: 'closed' },
  recovering: { accept: 'attached', close: 'closed' },
  closed: {},
};
