/** Runs one attack on the library as it is, or with the defence taken out. */
import * as godwit from 'godwit';
import type { Attack, Outcome } from './attack.ts';
import { patchedLibrary } from './patched-library.ts';
import { Scene } from './scene.ts';

/** No attack takes as long. */
const TIME_LIMIT_MS = 10_000;

export async function runAttack(attack: Attack, isDefended: boolean): Promise<Outcome> {
  const library = isDefended || !attack.edits ? godwit : await patchedLibrary(attack.name, attack.edits);
  await using scene = new Scene(library, isDefended);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no outcome within ${TIME_LIMIT_MS} ms`)), TIME_LIMIT_MS);
  });
  try {
    return await Promise.race([attack.run(scene), late]);
  } finally {
    clearTimeout(timer);
  }
}
