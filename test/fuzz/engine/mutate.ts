/** Scripts out of scripts. Which bytes mean what is the targets' business; small ones mean something everywhere. */
import type { Seeded } from '../../world/seeded.ts';
import { MAX_STEP_BYTES, MAX_STEPS, type Script, type Step } from './script.ts';

/** Values at which lengths, counts and types change their meaning. */
const INTERESTING_BYTES = [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 63, 64, 127, 128, 192, 254, 255];

/** The same for lengths of two bytes. */
const INTERESTING_PAIRS = [
  255, 256, 511, 512, 513, 1024, 2047, 2048, 2049, 4095, 4096, 4097, 16_384, 32_768, 65_535,
];

/** A script that differs in a few places from `script`; `other` lends parts. */
export function mutate(script: Script, other: Script, operations: readonly string[], random: Seeded): Step[] {
  let steps = [...script];
  for (let count = 1 + changesOf(random); count > 0; count -= 1)
    steps = change(steps, other, operations, random);
  return steps.slice(0, MAX_STEPS);
}

/** Mostly 0, seldom many. */
function changesOf(random: Seeded): number {
  let changes = 0;
  while (changes < 8 && random.chance(0.5)) changes += 1;
  return changes;
}

function change(steps: Step[], other: Script, operations: readonly string[], random: Seeded): Step[] {
  const at = random.below(steps.length + 1);
  const draw = random.below(steps.length === 0 ? 2 : 12);
  switch (draw) {
    case 0:
      return steps.toSpliced(at, 0, { op: random.pick(operations), bytes: newBytes(random) });
    case 1: {
      const from = random.below(other.length + 1);
      return steps.toSpliced(at, 0, ...other.slice(from, from + 1 + random.below(6)));
    }
    case 2:
      return steps.toSpliced(at, 1 + random.below(3));
    case 3:
      return steps.toSpliced(at, 0, steps[random.below(steps.length)] as Step);
    case 4: {
      const from = random.below(steps.length);
      const moved = steps.slice(from, from + 1);
      return steps.toSpliced(from, 1).toSpliced(random.below(steps.length), 0, ...moved);
    }
    case 5:
      return steps.slice(0, at);
    default: {
      const target = random.below(steps.length);
      const { op, bytes } = steps[target] as Step;
      const changed = changeBytes(bytes, other, random).slice(0, MAX_STEP_BYTES);
      return steps.with(target, { op: random.chance(0.05) ? random.pick(operations) : op, bytes: changed });
    }
  }
}

function newBytes(random: Seeded): Uint8Array {
  const bytes = random.bytes(random.below(random.chance(0.9) ? 12 : 80));
  // Directives are small numbers: 0 means "as it should be".
  return random.chance(0.7) ? bytes.map((byte) => (random.chance(0.6) ? 0 : byte % 16)) : bytes;
}

function changeBytes(bytes: Uint8Array, other: Script, random: Seeded): Uint8Array {
  const at = random.below(bytes.byteLength + 1);
  const set = (value: number): Uint8Array =>
    at < bytes.byteLength ? bytes.with(at, value & 0xff) : Uint8Array.of(...bytes, value & 0xff);
  const old = bytes[at] ?? 0;
  switch (random.below(11)) {
    case 0:
      return set(random.below(256));
    case 1:
      return set(random.pick(INTERESTING_BYTES));
    case 2:
      return set(random.below(16));
    case 3:
      return set(old ^ (1 << random.below(8)));
    case 4:
      return set(old + (random.chance(0.5) ? 1 : -1));
    case 5:
      return insert(bytes, at, random.bytes(1 + random.below(8)));
    case 6:
      return insert(bytes, at, new Uint8Array(1 + random.below(4)));
    case 7:
      return remove(bytes, at, 1 + random.below(8));
    case 8:
      return bytes.slice(0, at);
    case 9: {
      const pair = random.pick(INTERESTING_PAIRS);
      const replaced = random.chance(0.5) ? remove(bytes, at, 2) : bytes;
      return insert(replaced, Math.min(at, replaced.byteLength), Uint8Array.of(pair >>> 8, pair & 0xff));
    }
    default: {
      const lender = other.length > 0 ? random.pick(other).bytes : bytes;
      const from = random.below(lender.byteLength + 1);
      return insert(bytes, at, lender.slice(from, from + 1 + random.below(32)));
    }
  }
}

function insert(bytes: Uint8Array, at: number, added: Uint8Array): Uint8Array {
  return Uint8Array.of(...bytes.subarray(0, at), ...added, ...bytes.subarray(at));
}

function remove(bytes: Uint8Array, at: number, count: number): Uint8Array {
  return Uint8Array.of(...bytes.subarray(0, at), ...bytes.subarray(at + count));
}
