/** DigestWindow next to all bytes since the beginning. */
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { DigestWindow } from '../../../packages/godwit/src/session/digest-window.ts';
import { hold } from '../engine/target.ts';
import { command, modelTarget } from './model.ts';

const LIMIT_BYTES = 3000;

interface Output {
  bytes: Buffer;
  /** Bytes before the first of them. */
  start: number;
  /** The newest ticket covers everything below. */
  covered: number;
}

export const digestWindow = modelTarget<Output, DigestWindow>({
  name: 'digestWindow',
  summary: 'DigestWindow next to the checksum of all bytes, however tickets cut them',
  maxCommands: 60,
  setup: () => ({
    model: { bytes: Buffer.alloc(0), start: 11, covered: 11 },
    real: new DigestWindow(11, LIMIT_BYTES, crc32),
  }),
  commands: [
    fc.tuple(fc.oneof(fc.nat(20), fc.nat(900), fc.nat(7000)), fc.nat(255)).map(([length, first]) =>
      command(`append ${length}`, (model, real) => {
        const bytes = Buffer.from(Uint8Array.from({ length }, (_, i) => first + i * 5));
        real.append(bytes);
        model.bytes = Buffer.concat([model.bytes, bytes]);
        bytes.fill(0); // its owner may reuse it
      }),
    ),
    fc.double({ min: 0, max: 1, noNaN: true }).map((share) =>
      command(`rebase ${share}`, (model, real) => {
        const end = model.start + model.bytes.byteLength;
        model.covered = Math.max(model.covered, Math.floor(model.covered + (end - model.covered) * share));
        real.rebase(model.covered);
      }),
    ),
    fc.constant(
      command('a ticket covers everything', (model, real) => {
        model.covered = model.start + model.bytes.byteLength;
        real.rebase(model.covered);
      }),
    ),
    fc.constant(command('fold', (_, real) => real.fold())),
  ],
  invariant: (model, real) => {
    const { from, end, crc } = real.digest();
    hold('as its model', end === model.start + model.bytes.byteLength, () => `it ends at ${end}`);
    hold(
      'as its model',
      from >= model.covered && from <= end,
      () => `it begins at ${from}, covered is ${model.covered}`,
    );
    const expected = crc32(model.bytes.subarray(from - model.start));
    hold('as its model', crc === expected, () => `the checksum of ${from} … ${end} is wrong`);
    hold('bounded memory', real.heldBytes <= LIMIT_BYTES, () => `${real.heldBytes} bytes held`);
  },
});
