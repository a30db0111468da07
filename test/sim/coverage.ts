/** What a run has reached: every row that is never reached over many seeds is a hole in the simulator. */
import { CLIENT_TRANSITIONS, SERVER_TRANSITIONS } from '../../packages/godwit/src/session/index.ts';
import type { TransitionTable } from '../../packages/godwit/src/session/index.ts';
import { frames } from '../../packages/godwit/src/wire/frames.ts';
import { peerFrames } from '../../packages/godwit/src/wire/peer-frames.ts';

/** Groups of rows. Every row that `Coverage` begins with must be reached; others may come up as they are. */
export type CoverageGroup =
  | 'clientTransitions'
  | 'serverTransitions'
  | 'framesSent'
  | 'framesReceived'
  | 'peerFramesSent'
  | 'peerFramesReceived'
  | 'faults'
  | 'steps'
  | 'restores'
  | 'workload'
  | 'endings';

export type CoverageCounts = Record<CoverageGroup, Record<string, number>>;

export class Coverage {
  readonly counts: CoverageCounts;

  constructor(required: Partial<Record<CoverageGroup, readonly string[]>> = {}) {
    const zeros = (group: CoverageGroup): Record<string, number> =>
      Object.fromEntries((required[group] ?? []).map((row) => [row, 0]));
    this.counts = {
      clientTransitions: zeros('clientTransitions'),
      serverTransitions: zeros('serverTransitions'),
      framesSent: zeros('framesSent'),
      framesReceived: zeros('framesReceived'),
      peerFramesSent: zeros('peerFramesSent'),
      peerFramesReceived: zeros('peerFramesReceived'),
      faults: zeros('faults'),
      steps: zeros('steps'),
      restores: zeros('restores'),
      workload: zeros('workload'),
      endings: zeros('endings'),
    };
  }

  count(group: CoverageGroup, row: string, times = 1): void {
    const rows = this.counts[group];
    rows[row] = (rows[row] ?? 0) + times;
  }

  add(other: CoverageCounts): void {
    for (const [group, rows] of Object.entries(other))
      for (const [row, times] of Object.entries(rows)) this.count(group as CoverageGroup, row, times);
  }

  /** Rows that were never reached, as `group: row`. */
  get unreached(): string[] {
    return Object.entries(this.counts).flatMap(([group, rows]) =>
      Object.entries(rows)
        .filter(([, times]) => times === 0)
        .map(([row]) => `${group}: ${row}`),
    );
  }
}

export const TRANSITION_ROWS = {
  clientTransitions: rowsOf(CLIENT_TRANSITIONS),
  serverTransitions: rowsOf(SERVER_TRANSITIONS),
};

export const FRAME_ROWS = {
  framesSent: [...Object.keys(frames), 'data'],
  framesReceived: [...Object.keys(frames), 'data'],
  peerFramesSent: Object.keys(peerFrames),
  peerFramesReceived: Object.keys(peerFrames),
};

function rowsOf(table: TransitionTable<string, string>): string[] {
  return Object.entries(table).flatMap(([state, row]) =>
    Object.keys(row).map((event) => `${state} ${event}`),
  );
}

/** The coverage of the run that is going on: the tables are of the process, and so is this. */
let present: Coverage | undefined;

/** Counts every transition of both machines into `coverage` until the next call. */
export function countTransitions(coverage: Coverage | undefined): void {
  present = coverage;
  watchTables();
}

let isWatching = false;

/** Taking a transition is looking its entry up: each entry notes that. */
function watchTables(): void {
  if (isWatching) return;
  isWatching = true;
  for (const [group, table] of [
    ['clientTransitions', CLIENT_TRANSITIONS],
    ['serverTransitions', SERVER_TRANSITIONS],
  ] as const) {
    for (const [state, row] of Object.entries(table)) {
      for (const [event, next] of Object.entries(row as Record<string, string>)) {
        const get = (): string => {
          present?.count(group, `${state} ${event}`);
          return next;
        };
        Object.defineProperty(row, event, { get, enumerable: true, configurable: true });
      }
    }
  }
}
