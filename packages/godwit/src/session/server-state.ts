/**
 * States of a session at a server (protocol.md §14.2).
 *
 *   (OPEN) ──▶ active ──carrier lost──▶ detached
 *                │ ▲ ▲                      │
 *                │ │ └──confirm── offered ◀─┤ resume
 *         freeze │ └───────────────  ▲      │ freeze
 *                ▼                   │      ▼
 *              frozen ──resume───────┘    frozen
 *                │
 *                └──release──▶ ended        (MIGRATE, restored) ──▶ offered
 */
import type { TransitionTable } from './state-table.ts';

export type ServerState = 'active' | 'detached' | 'offered' | 'frozen' | 'ended';

export type ServerTransition =
  /** The carrier is gone; the session waits for its client. */
  | 'carrierLost'
  /** The client attached here again: ACCEPT is out. */
  | 'resume'
  /** CONFIRM was verified, or the client named this server as its origin, which says the same. */
  | 'confirm'
  /** A destination pulls the session, or the client detaches it. */
  | 'freeze'
  /** The client confirmed elsewhere. */
  | 'release'
  /** Over: closed, reset, abandoned, or out of time. */
  | 'end';

export const SERVER_TRANSITIONS: TransitionTable<ServerState, ServerTransition> = {
  active: { carrierLost: 'detached', resume: 'offered', freeze: 'frozen', release: 'ended', end: 'ended' },
  detached: { resume: 'offered', freeze: 'frozen', release: 'ended', end: 'ended' },
  offered: { confirm: 'active', carrierLost: 'detached', release: 'ended', end: 'ended' },
  frozen: { resume: 'offered', freeze: 'frozen', carrierLost: 'frozen', release: 'ended', end: 'ended' },
  ended: {},
};
