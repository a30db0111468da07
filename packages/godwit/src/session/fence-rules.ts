/**
 * What a fence remembers of a session, and what follows from it (protocol.md §10.10). Pure: whoever keeps the record reads
 * it, asks here, and writes what comes next only if nobody else has written meanwhile.
 */
import { WireCode, comparePoints, type Point } from '../wire/index.ts';

/** What is known of one session. */
export interface FenceRecord {
  /** The newest epoch under which a server went live. */
  readonly epoch: number;
  /** The copy that did, drawn at random when it began. */
  readonly owner: string;
  /** Name of its server. */
  readonly server: string;
  /** The newest point of which a ticket may have been released. */
  readonly newest: Point;
  /** The newest point of which the client was known to hold the ticket then: it needs no older one. */
  readonly acknowledged: Point;
  /** It ended, deliberately: nothing restores it. */
  readonly ended: boolean;
}

/**
 * Which points may still be restored. `acknowledged`: none that is older than the ticket before the newest, so a client whose
 * ticket was lost with its server goes on. `released`: none that is older than the newest, whether it arrived or not.
 */
export type FenceFloor = 'acknowledged' | 'released';

/** What a server asks of the fence. */
export interface FenceQuestion {
  /** `check` changes nothing. `advance`: a server goes live, or is about to release a ticket. `end`: for good. */
  readonly kind: 'check' | 'advance' | 'end';
  readonly sessionId: Uint8Array;
  /** The session's: two sessions of one id have different secrets, and different records. */
  readonly secret: Uint8Array;
  readonly epoch: number;
  /** The newest epoch under which this copy was live; 0 for one that was not yet. */
  readonly heldEpoch: number;
  readonly owner: string;
  readonly server: string;
  /** Where it starts from, or what is about to be released. */
  readonly point: Point;
  readonly acknowledged: Point;
  readonly floor: FenceFloor;
}

export type FenceRefusal =
  typeof WireCode.StaleEpoch | typeof WireCode.StalePoint | typeof WireCode.SessionEnded;

export type FenceAnswer =
  | { readonly kind: 'granted' }
  /** `server` is where the session lives, as far as the fence knows. */
  | { readonly kind: 'refused'; readonly code: FenceRefusal; readonly server: string }
  /** The fence could not be reached: whether anything was written is not known. */
  | { readonly kind: 'unavailable'; readonly message: string };

export type FenceVerdict =
  | Extract<FenceAnswer, { readonly kind: 'refused' }>
  /** `next` is to be written; undefined when nothing is. */
  | { readonly kind: 'granted'; readonly next: FenceRecord | undefined };

/** Without a record, everything is granted: nobody has lived under it yet, or its time is over, as all tickets' is. */
export function decideFence(record: FenceRecord | undefined, question: FenceQuestion): FenceVerdict {
  const { kind, epoch, owner, server } = question;
  const refusal = record && objectionTo(record, question);
  if (refusal !== undefined) return { kind: 'refused', code: refusal, server: record?.server ?? '' };
  if (kind === 'check' || (kind === 'end' && record?.ended === true))
    return { kind: 'granted', next: undefined };
  return {
    kind: 'granted',
    next: {
      epoch: record?.owner === owner ? Math.max(record.epoch, epoch) : epoch,
      owner,
      server,
      newest: newer(record?.newest, question.point),
      acknowledged: newer(record?.acknowledged, question.acknowledged),
      ended: kind === 'end',
    },
  };
}

function objectionTo(record: FenceRecord, question: FenceQuestion): FenceRefusal | undefined {
  const { kind, epoch, heldEpoch, owner, point, floor } = question;
  if (record.ended) return kind === 'end' ? undefined : WireCode.SessionEnded;
  // The copy that lives asks again; a question of its own that went out later may have come first.
  if (record.owner === owner) return undefined;
  // Another copy went live since this one did, or did so under the same epoch: this one was left behind.
  if (heldEpoch > 0 && record.epoch >= heldEpoch) return WireCode.StaleEpoch;
  if (record.epoch >= epoch) return WireCode.StaleEpoch;
  const oldest = floor === 'released' ? record.newest : record.acknowledged;
  return kind !== 'end' && comparePoints(point, oldest) < 0 ? WireCode.StalePoint : undefined;
}

function newer(a: Point | undefined, b: Point): Point {
  const { epoch, k } = a !== undefined && comparePoints(a, b) > 0 ? a : b;
  return { epoch, k };
}
