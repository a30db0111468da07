/** What the sessions of a seed do, and what there is to restore them from: kinds that many seeds together must show. */
import type { ClientPlan } from './plan.ts';

/** Bytes in one write: few enough to be a nuisance, and more than a piece of the carrier's. */
const TINY_BYTES = 8;
const HUGE_BYTES = 16 * 1024;

const TRAITS = {
  'server half-closes first': ({ script }) => script.outputEnds === 'at once',
  'client half-closes first': ({ script }) => script.inputEnds === 'at once',
  'client waits for answers': ({ waitsForAnswers }) => waitsForAnswers,
  'tiny writes of the client': ({ writeBytes }) => writeBytes <= TINY_BYTES,
  'huge writes of the client': ({ writeBytes }) => writeBytes >= HUGE_BYTES,
  'tiny writes of the server': ({ application }) => application.writeBytes <= TINY_BYTES,
  'huge writes of the server': ({ application }) => application.writeBytes >= HUGE_BYTES,
  'bursts without a pause': ({ writePauseMs }) => writePauseMs === 0,
  'slow reader at the client': ({ readPauseMs }) => readPauseMs > 0,
  'slow reader at the server': ({ application }) => application.readPauseMs > 0,
  'client ends early': ({ earlyEnd }) => earlyEnd !== undefined,
  'server ends early': ({ application }) => application.earlyEnd !== undefined,
  'left to chance': ({ application }) => application.leavesToChance,
  'slow cryptography': ({ cryptoMs }) => cryptoMs > 0,
  'no standbys': ({ standbys }) => standbys === 0,
} satisfies Record<string, (plan: ClientPlan) => boolean>;

export function workloadOf(plan: ClientPlan): string[] {
  const traits = Object.entries(TRAITS).filter(([, shows]) => shows(plan));
  return [plan.script.kind, `exports ${plan.application.exports}`, ...traits.map(([name]) => name)];
}

const KINDS = ['echo', 'both ways', 'upload', 'download', 'requests', 'silence'];
const HABITS = ['asked', 'often', 'seldom', 'late', 'not now', 'never'];
const FENCES = ['strict', 'flag', 'granted', 'refused', 'away', 'slow', 'mute'];

export const WORKLOAD_ROWS = {
  workload: [
    ...KINDS,
    ...HABITS.map((habit) => `exports ${habit}`),
    ...FENCES.map((row) => `fence ${row}`),
    ...Object.keys(TRAITS),
    'unprotected',
  ],
  restores: ['replay', 'commit'].flatMap((mode) =>
    ['resume', 'origin', 'ticket'].map((source) => `${mode} ${source}`),
  ),
};
