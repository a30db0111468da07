/** `npm run attacks`: somebody who speaks the protocol tries everything he can think of on real servers. */
import { parseArgs } from 'node:util';
import { FAMILIES } from './attacks.ts';
import type { Attack } from './attack.ts';
import { runAttack } from './run-attack.ts';

const USAGE = `Usage: npm run -s attacks -- [options]

Tries every attack of test/attacks on real servers and clients over real sockets, and says how each was refused. What the
defaults can't stop is tried twice: as it is, and with the setting that stops it.

  --only TEXT  only the attacks whose names contain this
  --json       print one line of JSON on standard output; the table goes to standard error
  --help       print this

Exit code: 0 if each attack was refused as it should be, 1 if not, 2 if it could not start.`;

interface Result {
  attacks: number;
  refused: number;
  succeeded: string[];
  unstoppable: { readonly attack: string; readonly setting: string }[];
}

process.exitCode = await main(process.argv.slice(2));

async function main(args: string[]): Promise<number> {
  let only: string;
  let json: boolean;
  try {
    const { values } = parseArgs({
      args,
      options: {
        only: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    only = values.only ?? '';
    json = values.json ?? false;
  } catch (error) {
    if (!(error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')) throw error;
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  const print = json ? console.error : console.log;
  const result: Result = { attacks: 0, refused: 0, succeeded: [], unstoppable: [] };
  let isAsExpected = true;
  for (const [family, attacks] of Object.entries(FAMILIES)) {
    const chosen = attacks.filter(({ name }) => name.includes(only));
    if (chosen.length > 0) print(`\n${family}`);
    for (const attack of chosen) {
      const { isFine, row } = await tryOut(attack, result);
      isAsExpected &&= isFine;
      print(`  ${isFine ? ' ' : '!'} ${row}`);
    }
  }
  if (result.attacks + result.unstoppable.length === 0) {
    console.error(`no attack has a name with "${only}" in it`);
    return 2;
  }
  const { attacks, refused, succeeded, unstoppable } = result;
  print(
    `\n${attacks} attacks, ${refused} refused, ${succeeded.length} succeeded; ` +
      `${unstoppable.length} that only a setting stops`,
  );
  if (json) console.log(JSON.stringify(result));
  return isAsExpected ? 0 : 1;
}

async function tryOut(attack: Attack, result: Result): Promise<{ isFine: boolean; row: string }> {
  const { name, expected, setting } = attack;
  if (setting !== undefined) {
    const without = await outcomeOf(attack, false);
    result.unstoppable.push({ attack: name, setting });
    if (!without.startsWith('gained '))
      return { isFine: false, row: `${name}: ${without}, without ${setting}` };
    const withIt = await outcomeOf(attack, true);
    return { isFine: withIt === expected, row: `${name}: ${without}; with ${setting}: ${withIt}` };
  }
  result.attacks += 1;
  const outcome = await outcomeOf(attack, true);
  if (outcome === expected) {
    result.refused += 1;
    return { isFine: true, row: `${name}: ${outcome}` };
  }
  // However it was not refused: what is not refused as it should be may yet succeed.
  result.succeeded.push(name);
  return { isFine: false, row: `${name}: ${outcome}, where it should be ${expected}` };
}

async function outcomeOf(attack: Attack, isDefended: boolean): Promise<string> {
  try {
    const outcome = await runAttack(attack, isDefended);
    return 'refused' in outcome ? outcome.refused : `gained ${outcome.gained}`;
  } catch (error) {
    return `failed: ${(error as Error).message}`;
  }
}
