/** SlabQueue next to a plain array of bytes. */
import fc from 'fast-check';
import { SlabQueue } from '../../../packages/godwit/src/session/slab-queue.ts';
import { hold } from '../engine/target.ts';
import { opened } from '../targets/opened.ts';
import { command, modelTarget } from './model.ts';

/** Spare slabs, and a slab or two that are not full (slab-queue.ts). */
const SLACK_BYTES = 8 * 128 * 1024 + 2 * 128 * 1024;

interface Lent {
  readonly view: Uint8Array;
  readonly copy: Buffer;
  readonly from: number;
}

interface Queue {
  start: number;
  /** Bytes from `start` on. */
  bytes: Buffer;
  /** Views that are still valid. */
  lent: Lent[];
}

const size = fc.oneof(fc.nat(600), fc.nat(5000), fc.nat(5000), fc.nat(200_000));
const STREAM = Buffer.from(Uint8Array.from({ length: 201_000 }, (_, i) => i * 3 + (i >>> 8)));
const share = fc.double({ min: 0, max: 1, noNaN: true });

export const slabQueue = modelTarget<Queue, SlabQueue>({
  name: 'slabQueue',
  summary: 'SlabQueue next to an array of bytes; views stay what they were until they are trimmed',
  maxCommands: 60,
  setup: () => ({ model: { start: 7, bytes: Buffer.alloc(0), lent: [] }, real: new SlabQueue(7) }),
  commands: [
    fc.tuple(size, fc.nat(255)).map(([length, first]) =>
      command('append ' + length, (model, real) => {
        const bytes = Buffer.from(STREAM.subarray(first, first + length));
        real.append(bytes);
        model.bytes = Buffer.concat([model.bytes, bytes]);
        bytes.fill(0); // the caller may reuse it
      }),
    ),
    share.map((of) =>
      command(`trim ${of}`, (model, real) => {
        const to = model.start + Math.floor(model.bytes.byteLength * of);
        real.trim(to);
        model.bytes = model.bytes.subarray(to - model.start);
        model.start = to;
        model.lent = model.lent.filter(({ from }) => from >= to);
      }),
    ),
    fc.tuple(share, share).map((shares) =>
      command(`views ${shares.join()}`, (model, real) => {
        const [from, to] = shares
          .map((of) => Math.floor(model.bytes.byteLength * of))
          .sort((a, b) => a - b) as [number, number];
        const views = real.views(model.start + from, model.start + to);
        const copy = Buffer.concat(views);
        hold('as its model', copy.equals(model.bytes.subarray(from, to)), () => 'views have other bytes');
        let at = model.start + from;
        for (const view of views) {
          model.lent.push({ view, copy: Buffer.from(view), from: at });
          at += view.byteLength;
        }
      }),
    ),
    fc.nat(1000).map((ahead) =>
      command(`reset +${ahead}`, (model, real) => {
        model.start += model.bytes.byteLength + ahead;
        model.bytes = Buffer.alloc(0);
        model.lent = [];
        real.reset(model.start);
      }),
    ),
    fc.constant(command('shrink', (_, real) => real.shrink())),
  ],
  invariant: (model, real) => {
    hold('as its model', real.start === model.start && real.length === model.bytes.byteLength, () => {
      return `it holds ${real.start} … ${real.end}, not ${model.start} … ${model.start + model.bytes.byteLength}`;
    });
    hold('as its model', real.end === real.start + real.length, () => 'start, end and length do not fit');
    for (const { view, copy } of model.lent)
      hold('as its model', copy.equals(view), () => 'a view that was lent has changed');
    const { $slabs, $spares } = opened<{ $slabs: { bytes: Uint8Array }[]; $spares: Uint8Array[] }>(real);
    const kept = [...$slabs.map(({ bytes }) => bytes), ...$spares].reduce(
      (sum, { byteLength }) => sum + byteLength,
      0,
    );
    const allowed = 2 * real.length + SLACK_BYTES;
    hold('bounded memory', kept <= allowed, () => `${kept} bytes for ${real.length}`);
  },
});
