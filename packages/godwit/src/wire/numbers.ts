/**
 * Branded numbers of the protocol (protocol.md §2). All are safe integers, so they travel as 64 or 48 bits and are
 * computed with `+` and `-`, never with `<<`.
 */
declare const brand: unique symbol;

/** Position in a byte stream, counted from 0; a FIN takes one offset. Range 0 … 2^53 − 1. */
export type Offset = number & { readonly [brand]?: 'offset' };

/** Number the client raises with every attach it attempts. Range 1 … 2^48 − 1. */
export type Epoch = number & { readonly [brand]?: 'epoch' };

/** Number of a snapshot within the session; points are ordered by (epoch, k). Range 0 … 2^48 − 1. */
export type SnapshotNumber = number & { readonly [brand]?: 'snapshot' };

/** Largest epoch and snapshot number (48 bits). */
export const MAX_UINT48 = 2 ** 48 - 1;

/** A restart point's place in the order of all points of a session. */
export interface Point {
  readonly epoch: Epoch;
  readonly k: SnapshotNumber;
}

/** Negative when `a` is older than `b`, 0 when equal, positive when newer (protocol.md §2.3). */
export function comparePoints(a: Point, b: Point): number {
  return a.epoch === b.epoch ? a.k - b.k : a.epoch - b.epoch;
}
