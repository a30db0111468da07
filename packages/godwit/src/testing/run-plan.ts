/** What one run of a check does to the session: how input is cut, how often states are exported, where servers die. */
import { SeededRandom } from './seeded-random.ts';

/** What happens to the session's server. */
export type FaultKind =
  /** It is gone with all its memory, as after `kill -9`. Another takes the session over from the client's ticket. */
  | 'crash'
  /** The session moves on purpose: its server freezes it, asks for a last state and hands it over. */
  | 'move';

/** Where it happens. */
export type FaultPlace =
  /** As soon as the handler had the input up to `offset`; no output made of its last byte reaches the client. */
  | 'input'
  /** As soon as the client's end has the output up to `offset`. */
  | 'output'
  /** As soon as the client holds a ticket of a state up to which `offset` bytes had moved, both ways together. */
  | 'ticket';

/** A fault of a run. The end of a stream counts as one byte, as everywhere in Godwit. */
export interface Fault {
  readonly kind: FaultKind;
  readonly at: FaultPlace;
  /** An input offset, an output offset, or the sum of both. */
  readonly offset: number;
}

/** How input is cut on its way to the handler. */
export type Chunking =
  /** As the client wrote it. */
  | 'as-written'
  /** Single bytes; a long input in 4,096 pieces. */
  | 'bytes'
  /** Some ten pieces, of sizes drawn from the seed. */
  | 'drawn';

/** How often the handler is asked for its state. */
export type Cadence =
  /** After every change, or as often as tickets travel. */
  | 'often'
  /** After as many bytes as the seed says. */
  | 'drawn'
  /** Never, in `replay` mode: every restore executes again from the start. */
  | 'never';

export interface RunPlan {
  /** From 0; with the check's seed it determines the run. */
  readonly number: number;
  readonly chunking: Chunking;
  readonly cadence: Cadence;
  readonly faults: readonly Fault[];
}

/** What the runs without faults have shown of the session. */
export interface Shape {
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly tickets: number;
}

/** Pieces of a long input, at the most. */
const PIECES_MAX = 4096;
/** Pieces of a drawn cut, about. */
const PIECES_DRAWN = 10;
/** Most faults in one run. */
const FAULTS_MAX = 4;
/** One run in so many has several crashes, one a planned move, and (in `replay` mode) two no snapshots. */
const SPECIAL_SHARE = 8;
/** And at least so many of each. */
const SPECIAL_MIN = 4;

/** Sizes of the pieces that input is cut into, one after another. */
export function pieceSizes(chunking: Chunking, inputBytes: number, random: SeededRandom): () => number {
  switch (chunking) {
    case 'as-written':
      return () => Infinity;
    case 'bytes':
      return () => Math.ceil(Math.max(1, inputBytes) / PIECES_MAX);
    case 'drawn': {
      const largest = Math.max(1, Math.ceil((2 * inputBytes) / PIECES_DRAWN));
      return () => random.between(1, largest);
    }
  }
}

export interface PlanOptions {
  readonly seed: number;
  readonly delivery: 'replay' | 'commit';
  readonly crashes: 'every-offset' | number;
  readonly shape: Shape;
  /** Number of the first run. */
  readonly from: number;
}

/** The runs with faults, those first that can only fail for one reason: that the handler is not deterministic. */
export function planFaults({ seed, delivery, crashes, shape, from }: PlanOptions): RunPlan[] {
  const random = new SeededRandom(seed, 1);
  const all = allPlaces(shape);
  const places = crashes === 'every-offset' ? all : sample(all, crashes, random);
  const plans: Omit<RunPlan, 'number'>[] = [];
  const special = Math.max(SPECIAL_MIN, Math.ceil(places.length / SPECIAL_SHARE));
  const some = (): Pick<Fault, 'at' | 'offset'>[] => sample(places, special, random);
  if (delivery === 'replay')
    for (const place of some())
      plans.push({ chunking: 'drawn', cadence: 'never', faults: [{ kind: 'crash', ...place }] });
  for (const place of places)
    plans.push({ chunking: 'drawn', cadence: 'often', faults: [{ kind: 'crash', ...place }] });
  if (places.length > 0) {
    for (const place of some())
      plans.push({ chunking: 'drawn', cadence: 'often', faults: [{ kind: 'move', ...place }] });
    for (const place of some()) {
      const more = sample(all, random.between(1, FAULTS_MAX - 1), random);
      const faults = [place, ...more].map(
        (each) => ({ kind: random.below(4) === 0 ? 'move' : 'crash', ...each }) as const,
      );
      plans.push({ chunking: 'drawn', cadence: 'drawn', faults });
    }
  }
  return plans.map((plan, index) => ({ number: from + index, ...plan }));
}

/** Every byte of both streams, their ends, and about every ticket; the last one covers all but the ends. */
function allPlaces({ inputBytes, outputBytes, tickets }: Shape): Pick<Fault, 'at' | 'offset'>[] {
  return [
    ...Array.from({ length: inputBytes + 2 }, (_, offset) => ({ at: 'input', offset }) as const),
    ...Array.from({ length: outputBytes + 2 }, (_, offset) => ({ at: 'output', offset }) as const),
    ...Array.from({ length: tickets }, (_, index) => {
      const offset = Math.ceil(((index + 1) * (inputBytes + outputBytes)) / tickets);
      return { at: 'ticket', offset } as const;
    }),
  ];
}

/** At most `count` of them, in order, spread evenly: one drawn from each of as many equal parts. */
function sample<T>(all: readonly T[], count: number, random: SeededRandom): T[] {
  if (count >= all.length) return [...all];
  return Array.from({ length: count }, (_, part) => {
    const start = Math.floor((part * all.length) / count);
    const end = Math.floor(((part + 1) * all.length) / count);
    return all[random.between(start, end - 1)] as T;
  });
}
