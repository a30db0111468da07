/** What every target is fed: a list of steps, each an operation of the target with bytes that say more. */
import { fromHex, toHex } from '../../../packages/godwit/src/wire/bytes.ts';

export interface Step {
  readonly op: string;
  readonly bytes: Uint8Array;
}
export type Script = readonly Step[];

/** Longest script, in steps. */
export const MAX_STEPS = 48;

/** Most bytes of one step. */
export const MAX_STEP_BYTES = 2048;

/** One line a step: the operation, and its bytes in hexadecimal. */
export function formatScript(script: Script): string {
  return script
    .map(({ op, bytes }) => (bytes.byteLength > 0 ? `${op} ${toHex(bytes)}\n` : `${op}\n`))
    .join('');
}

/** Throws `SyntaxError` on anything but steps, empty lines and lines that begin with `#`. */
export function parseScript(text: string): Script {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      const match = /^([a-z][A-Za-z]*)(?: ([0-9a-f]+))?$/.exec(line);
      if (!match) throw new SyntaxError(`not a step: ${line}`);
      return { op: match[1] as string, bytes: fromHex(match[2] ?? '') };
    });
}
