/** Every attack is refused as it should be, and succeeds where its defence is switched off: so each of these can fail. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { FAMILIES } from './attacks.ts';
import { closePatcher } from './patched-library.ts';
import { runAttack } from './run-attack.ts';

after(closePatcher);

for (const [family, attacks] of Object.entries(FAMILIES)) {
  describe(family, () => {
    for (const attack of attacks) {
      test(`${attack.name}: ${attack.expected}`, async () => {
        assert.deepEqual(await runAttack(attack, true), { refused: attack.expected });
      });
      test(`${attack.name}: succeeds without ${attack.defence}`, async () => {
        const outcome = await runAttack(attack, false);
        assert.ok('gained' in outcome, `refused all the same: ${JSON.stringify(outcome)}`);
      });
    }
  });
}
