/** One seed, from its plan to its result. */
import { drawPlan, type Plan } from './plan.ts';
import { Simulation, type Narrator, type RunResult } from './simulation.ts';

interface RunOptions {
  readonly narrate?: Narrator;
}

export function runSeed(seed: number, options: RunOptions = {}): RunResult & { readonly plan: Plan } {
  const plan = drawPlan(seed);
  return { ...runPlan(plan, options), plan };
}

export function runPlan(plan: Plan, options: RunOptions = {}): RunResult {
  return new Simulation(plan, options).run();
}
