/** One seed, from its plan to its result. */
import { drawPlan } from './plan.ts';
import { Simulation, type Narrator, type RunResult } from './simulation.ts';

export function runSeed(seed: number, options: { narrate?: Narrator } = {}): RunResult {
  return new Simulation(drawPlan(seed), options).run();
}
