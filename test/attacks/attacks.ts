/** All attacks, family by family. */
import type { Attack } from './attack.ts';
import { migrateAttacks } from './migrations.ts';
import { peerAttacks } from './peers.ts';
import { strangerAttacks } from './strangers.ts';
import { ticketAttacks } from './tickets.ts';

export const FAMILIES: Readonly<Record<string, readonly Attack[]>> = {
  tickets: ticketAttacks,
  'OPEN and MIGRATE': migrateAttacks,
  'links between servers': peerAttacks,
  strangers: strangerAttacks,
};
