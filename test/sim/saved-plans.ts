/**
 * Seeds that once failed, kept in test/vectors/seeds. A seed means another plan once the drawing of plans has changed; so
 * what is kept is the plan that it meant when it failed.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plan } from './plan.ts';

const FOLDER = join(import.meta.dirname, '..', 'vectors', 'seeds');

export interface SavedPlan {
  /** That of the file, without its ending. */
  readonly name: string;
  /** What went wrong, in a line. */
  readonly shows: string;
  readonly plan: Plan;
}

export function readSavedPlans(): SavedPlan[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => ({ name: file.slice(0, -5), ...readPlan(join(FOLDER, file)) }));
}

export function readPlan(path: string): Omit<SavedPlan, 'name'> {
  const saved = JSON.parse(readFileSync(path, 'utf8')) as Partial<SavedPlan>;
  const { shows = '', plan } = saved;
  if (plan?.seed === undefined) throw new SyntaxError('no plan is in it');
  return { shows, plan };
}

/** Answers the path. */
export function savePlan(plan: Plan, shows: string): string {
  const path = join(FOLDER, `${plan.seed}.json`);
  writeFileSync(path, `${JSON.stringify({ shows, plan }, undefined, 2)}\n`);
  return path;
}
