/**
 * What two applications say to each other: so much input, so much output, and which output may follow which input. So
 * output is a function of the input bytes, however they are cut, as `replay` asks for (protocol.md §1).
 */
import type { Draw } from './draw.ts';

/** Once so much input is consumed, output up to `output` may follow. */
export interface Gate {
  readonly input: number;
  readonly output: number;
}

export type ScriptKind = 'echo' | 'requests' | 'download' | 'upload' | 'both ways' | 'silence';

export interface Script {
  readonly kind: ScriptKind;
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** Both offsets rise. The last one lets all output through. */
  readonly gates: readonly Gate[];
  /** The client ends its input at once behind the last byte, or when it has all output (half-close by the server first). */
  readonly inputEnds: 'at once' | 'after output';
  /** The server ends its output at once behind the last byte, or when it has all input. */
  readonly outputEnds: 'at once' | 'after input';
}

/** Weights of the ways to talk. */
const KINDS: Readonly<Record<ScriptKind, number>> = {
  echo: 3,
  requests: 4,
  download: 2,
  upload: 1.5,
  'both ways': 2,
  silence: 0.1,
};

/** `bytes`: how much is said, as a rule. */
export function drawScript(draw: Draw, bytes: { readonly from: number; readonly to: number }): Script {
  const kind = draw.weighted(KINDS);
  const size = (): number => draw.magnitude(bytes.from, Math.max(2, bytes.to));
  const small = (): number => draw.magnitude(1, 600);
  const { inputBytes, outputBytes, gates } = drawGates(kind, draw, size, small);
  const outputEnds = draw.chance(0.7) ? 'after input' : 'at once';
  // One of them must go first.
  const inputEnds = outputEnds === 'at once' && draw.chance(0.6) ? 'after output' : 'at once';
  return { kind, inputBytes, outputBytes, gates, inputEnds, outputEnds };
}

function drawGates(
  kind: ScriptKind,
  draw: Draw,
  size: () => number,
  small: () => number,
): Pick<Script, 'inputBytes' | 'outputBytes' | 'gates'> {
  const gates: Gate[] = [];
  switch (kind) {
    case 'silence':
      return { inputBytes: 0, outputBytes: 0, gates: [{ input: 0, output: 0 }] };
    case 'echo': {
      const bytes = size();
      const records = Math.min(64, bytes);
      for (let i = 1; i <= records; i += 1) {
        const at = Math.floor((bytes * i) / records);
        gates.push({ input: at, output: at });
      }
      return { inputBytes: bytes, outputBytes: bytes, gates };
    }
    case 'requests': {
      const count = draw.whole(1, 24);
      const share = Math.max(1, Math.floor(size() / count));
      let input = 0;
      let output = 0;
      for (let i = 0; i < count; i += 1) {
        input += small();
        output += draw.chance(0.1) ? 0 : draw.magnitude(1, share + 1);
        gates.push({ input, output });
      }
      return { inputBytes: input, outputBytes: output, gates };
    }
    case 'download': {
      const [inputBytes, outputBytes] = [draw.chance(0.5) ? 0 : small(), size()];
      return { inputBytes, outputBytes, gates: [{ input: 0, output: outputBytes }] };
    }
    case 'upload': {
      const [inputBytes, outputBytes] = [size(), draw.chance(0.3) ? 0 : small()];
      return { inputBytes, outputBytes, gates: [{ input: inputBytes, output: outputBytes }] };
    }
    case 'both ways': {
      // Much of the output waits for nothing.
      const [inputBytes, outputBytes] = [size(), size()];
      gates.push({ input: 0, output: Math.floor(outputBytes * draw.next()) });
      gates.push({ input: Math.max(1, Math.floor(inputBytes * draw.next())), output: outputBytes });
      return { inputBytes, outputBytes, gates };
    }
  }
}

/** Up to which offset output may go, once so much input is consumed. */
export function outputAllowed(script: Script, input: number): number {
  let low = 0;
  let high = script.gates.length - 1;
  let allowed = 0;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const gate = script.gates[middle] as Gate;
    if (gate.input <= input) {
      allowed = gate.output;
      low = middle + 1;
    } else high = middle - 1;
  }
  return allowed;
}
