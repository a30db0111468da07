/** All attacks, family by family. */
import type { Attack } from './attack.ts';
import { clientAttacks } from './clients.ts';
import { fenceAttacks } from './fences.ts';
import { migrateAttacks } from './migrations.ts';
import { onPathAttacks } from './on-path.ts';
import { tlsAttacks } from './over-tls.ts';
import { peerAttacks } from './peers.ts';
import { strangerAttacks } from './strangers.ts';
import { ticketAttacks } from './tickets.ts';
import { timingAttacks } from './timing.ts';

export const FAMILIES: Readonly<Record<string, readonly Attack[]>> = {
  tickets: ticketAttacks,
  'OPEN and MIGRATE': migrateAttacks,
  clients: clientAttacks,
  'links between servers': peerAttacks,
  strangers: strangerAttacks,
  TLS: tlsAttacks,
  time: timingAttacks,
  'liars, and servers left behind': fenceAttacks,
  'on the path of plain TCP, and thieves': onPathAttacks,
};
