/** A run that is killed, as its successor finds it: with hosts, and with a process that stands still on one of them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FOLDER_PREFIX } from './leftovers.ts';
import { TestNetwork } from './network.ts';

const network = await TestNetwork.create(['left', 'right']);
mkdtempSync(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
const [enter = '', ...rest] = network.launcher('left');
const frozen = spawn(enter, [...rest, 'sleep', '600'], { stdio: 'ignore' });
await once(frozen, 'spawn');
// Before that it is not on its host yet.
while (readFileSync(`/proc/${frozen.pid}/comm`, 'utf8').trim() !== 'sleep')
  await new Promise((resolve) => setImmediate(resolve));
frozen.kill('SIGSTOP');
console.log(frozen.pid);
setInterval(() => undefined, 1000);
