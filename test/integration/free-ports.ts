/** Free ports, as arguments of child processes take them. */
import { freePorts as freePortNumbers } from '../../bench/harness/free-ports.ts';

/** See there. */
export async function freePorts(count: number): Promise<string[]> {
  return (await freePortNumbers(count)).map(String);
}
