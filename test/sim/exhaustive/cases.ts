/** Every place a fault can strike at, once and twice. */
import { FAULT_KINDS, faultName, type Fault, type FaultKind, type Place } from './fault.ts';
import type { Outcome } from './run-case.ts';
import type { ExhaustiveScript } from './script.ts';
import type { Boundary, Tap } from './tap.ts';

/** `short` is what CI has the time for; `deep` is all there is. */
export type Depth = 'short' | 'deep';

const KINDS = Object.keys(FAULT_KINDS) as FaultKind[];
/** What may strike twice. */
const PAIRED_KINDS: readonly FaultKind[] = ['lost', 'reset', 'kill-a', 'kill-b', 'unlink'];
/** Of the pairs of scripts other than this one, `short` takes one in so many. */
const FULLY_PAIRED = 'origin';
const PAIR_SAMPLE = 128;
/** And of that one's, one in so many. */
const FULL_SAMPLE = 16;

/** What only a first fault brings about: behind these, one in so many. */
const RARE_FRAMES = new Set(['abort', 'gone']);
const RARE_SAMPLE = 4;

/** Frames of clients that come again without harm; a DATA or FIN that does is another stream. */
const REPEATABLE = new Set(['detach', 'confirm', 'snapshotAck', 'ack', 'watch']);

/** Faults of some kinds need a carrier, or a link between servers, or a frame that can come again. */
function canStrike(kind: FaultKind, { place, frame }: Pick<Boundary, 'place' | 'frame'>): boolean {
  const isCarrier = place.link.startsWith('c');
  if (kind === 'unlink') return !isCarrier;
  if (kind === 'again' || kind === 'stolen' || kind === 'forestalled')
    return (
      place.offset > 0 &&
      (isCarrier ? kind === 'again' && place.direction === '>' && REPEATABLE.has(frame) : true)
    );
  return isCarrier || !['reset', 'lost', 'silent', 'late'].includes(kind);
}

/** The single faults of a script behind its frames, as a run without faults shows their places. */
export function frameFaults({ mostFaults }: ExhaustiveScript, { tap }: Pick<Outcome, 'tap'>): Fault[] {
  return mostFaults === 0 ? [] : framePlaces(tap).flatMap(singleFaultsAt);
}

/**
 * Those behind bytes that end no frame. A control frame that is not whole does nothing, wherever it is cut: of these,
 * `short` takes three places, and every byte of DATA; the tests of the decoder cut all frames at all bytes.
 */
export function* byteFaults(
  script: ExhaustiveScript,
  { tap }: Pick<Outcome, 'tap'>,
  depth: Depth,
): Generator<Fault> {
  if (script.everyByte === 'never' || (script.everyByte === 'deep' && depth === 'short')) return;
  // Up to where they act, all scripts are the same.
  const fromMs = depth === 'deep' ? 0 : (tap.actedAtMs ?? 0);
  for (const [{ isMiddle, isEdge, frame, atMs }, place] of bytePlaces(tap)) {
    if (atMs < fromMs) continue;
    for (const kind of KINDS) {
      const isShort = isMiddle || (kind === 'lost' && (isEdge || frame === 'data'));
      if (FAULT_KINDS[kind] === 'byte' && (depth === 'deep' || isShort)) yield { kind, place };
    }
  }
}

/** What can strike at one place. */
export function singleFaultsAt(boundary: Boundary): Fault[] {
  return KINDS.filter((kind) => canStrike(kind, boundary)).map((kind) => ({ kind, place: boundary.place }));
}

/** Behind every frame, and before the first one of each direction. */
export function framePlaces(tap: Tap): Boundary[] {
  const places = new Map<string, Boundary>();
  for (const boundary of tap.boundaries) {
    const start = { ...boundary, frame: 'nothing', place: { ...boundary.place, offset: 0 } };
    for (const candidate of [start, boundary]) places.set(nameOf(candidate.place), candidate);
  }
  return [...places.values()];
}

function nameOf(place: Place): string {
  return faultName({ kind: 'lost', place });
}

interface ByteOfFrame {
  /** It is the one behind half of the frame; or behind the first byte, or before the last. */
  readonly isMiddle: boolean;
  readonly isEdge: boolean;
  readonly frame: string;
  readonly atMs: number;
}

/** Behind every byte of every carrier that ends no frame. */
function* bytePlaces(tap: Tap): Generator<[ByteOfFrame, Place]> {
  const byDirection = new Map<string, Boundary[]>();
  for (const boundary of tap.boundaries) {
    const { link, direction } = boundary.place;
    if (!link.startsWith('c')) continue;
    const key = link + direction;
    byDirection.set(key, [...(byDirection.get(key) ?? []), boundary]);
  }
  for (const boundaries of byDirection.values()) {
    let from = 0;
    for (const { place, frame, atMs } of boundaries) {
      for (let offset = from + 1; offset < place.offset; offset += 1)
        yield [
          {
            isMiddle: offset === (from + place.offset) >>> 1,
            isEdge: offset === from + 1 || offset === place.offset - 1,
            frame,
            atMs,
          },
          { ...place, offset },
        ];
      from = place.offset;
    }
  }
}

/** The faults that may follow the first, as a run with it alone shows their places: behind every later frame. */
export function* secondFaults(
  script: ExhaustiveScript,
  first: Fault,
  { tap }: Pick<Outcome, 'tap'>,
  depth: Depth,
): Generator<Fault> {
  if (tap.struckAtMs === undefined || script.mostFaults !== undefined || !PAIRED_KINDS.includes(first.kind))
    return;
  for (const boundary of tap.boundaries) {
    if (boundary.atMs < tap.struckAtMs) continue;
    for (const kind of PAIRED_KINDS) {
      if (!canStrike(kind, boundary)) continue;
      const second = { kind, place: boundary.place };
      const oneIn = RARE_FRAMES.has(boundary.frame)
        ? RARE_SAMPLE
        : script.name === FULLY_PAIRED
          ? FULL_SAMPLE
          : PAIR_SAMPLE;
      if (depth === 'deep' || isSampled(first, second, oneIn)) yield second;
    }
  }
}

/** The same choice in every run. */
function isSampled(first: Fault, second: Fault, oneIn: number): boolean {
  let sum = 0;
  for (const character of `${faultName(first)}+${faultName(second)}`)
    sum = (Math.imul(sum, 31) + character.charCodeAt(0)) >>> 0;
  return (sum >>> 8) % oneIn === 0;
}
