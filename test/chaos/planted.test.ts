/** The run finds what it looks for. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runChaos } from './chaos.ts';
import { FOLDER_PREFIX } from './leftovers.ts';
import { reasonToSkip } from './requirements.ts';
import { isSound } from './result.ts';

const skip = (await reasonToSkip((line) => console.error(line))) ?? false;

test(
  'a lost, a doubled and a damaged piece are counted, and so is a side effect that happens twice',
  { skip },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const result = await runChaos({
      seconds: 4,
      kinds: ['kill'],
      workloads: ['down', 'requests'],
      seed: 1,
      fileBytes: 8 * 1024 * 1024,
      folder,
      log: (line) => t.diagnostic(line),
      entry: join(import.meta.dirname, 'faulty-server.ts'),
    });
    const { lost, duplicated, corrupt, incidents, mismatched, effects, aborted } = result;
    assert.equal(aborted, 0);
    assert.ok(lost > 0 && duplicated > 0 && corrupt > 0);
    // One of each in every download, whichever server it is at by then; and both ends have hashed what they sent and got.
    assert.ok(incidents.lost > 0);
    assert.deepEqual(incidents, {
      lost: incidents.lost,
      duplicated: incidents.lost,
      corrupt: incidents.lost,
    });
    assert.equal(mismatched, incidents.lost);
    // Every server does it once.
    assert.ok(effects.doubled >= 1 && effects.doubled <= 4, `${effects.doubled} effects doubled`);
    assert.equal(effects.missing, 0);
    assert.equal(isSound(result), false);
    for (const what of [
      /bytes were lost/,
      /bytes came twice/,
      /bytes came damaged/,
      /side effects happened twice/,
    ])
      assert.ok(
        result.problems.some((problem) => what.test(problem)),
        String(what),
      );
  },
);
