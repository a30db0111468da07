/** Everything that is fuzzed, in the order in which it is listed. */
import type { Target } from '../engine/target.ts';
import { deadlines } from '../models/deadlines.ts';
import { digestWindow } from '../models/digest-window.ts';
import { keyRing } from '../models/key-ring.ts';
import { records } from '../models/records.ts';
import { receiveBuffer } from '../models/receive-buffer.ts';
import { sendBuffer } from '../models/send-buffer.ts';
import { sessionCommit, sessionReplay } from '../models/session.ts';
import { slabQueue } from '../models/slab-queue.ts';
import { ticketHolder } from '../models/ticket-holder.ts';
import { decoder } from './decoder.ts';
import { doubtful } from './doubtful.ts';
import { impostors } from './impostors.ts';
import { insiders } from './insiders.ts';
import { members } from './members.ts';
import { peerLink } from './peer-link.ts';
import { strangers } from './strangers.ts';
import { tickets } from './tickets.ts';

export const TARGETS: readonly Target[] = [
  decoder,
  tickets,
  strangers,
  insiders,
  impostors,
  doubtful,
  peerLink,
  members,
  sessionReplay,
  sessionCommit,
  slabQueue,
  receiveBuffer,
  sendBuffer,
  ticketHolder,
  digestWindow,
  deadlines,
  keyRing,
  records,
];
