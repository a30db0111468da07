/** The order of measurements: A B A B …, so that whatever else the machine does meets both alike. */

/** One side of a comparison. */
export interface Leg<Name extends string, Value> {
  readonly name: Name;
  /** Measures once, in processes of its own. */
  readonly run: (round: number) => Promise<Value>;
}

/** Runs all legs, one after another, round after round. Answers the values of each leg, in order of rounds. */
export async function interleave<Name extends string, Value>(
  legs: readonly Leg<Name, Value>[],
  rounds: number,
): Promise<Record<Name, Value[]>> {
  const values = Object.fromEntries(legs.map(({ name }) => [name, [] as Value[]])) as Record<Name, Value[]>;
  for (let round = 0; round < rounds; round += 1) {
    for (const { name, run } of legs) values[name].push(await run(round));
  }
  return values;
}
