/** SendBuffer next to offsets: what leaves is decoded again, and must be the stream. */
import fc from 'fast-check';
import { SendBuffer } from '../../../packages/godwit/src/session/send-buffer.ts';
import { FrameDecoder, concatBytes } from '../../../packages/godwit/src/wire/index.ts';
import { hold } from '../engine/target.ts';
import { command, modelTarget } from './model.ts';

const START = 3;

interface Stream {
  from: number;
  end: number;
  finished: boolean;
  sent: number;
  credit: number;
  acknowledged: number;
}

function byteAt(offset: number): number {
  return (offset * 11 + (offset >>> 8)) & 0xff;
}

function next({ end, finished }: Readonly<Stream>): number {
  return end + (finished ? 1 : 0);
}

/** More than a run gets to. */
const STREAM = Buffer.from(Uint8Array.from({ length: 1 << 23 }, (_, offset) => byteAt(offset)));

const length = fc.oneof(fc.nat(3), fc.nat(900), fc.nat(900), fc.nat(300_000));

export const sendBuffer = modelTarget<Stream, SendBuffer>({
  name: 'sendBuffer',
  summary: 'SendBuffer: what leaves under credit, carrier after carrier, and what may be freed',
  maxCommands: 60,
  setup: () => ({
    model: { from: START, end: START, finished: false, sent: START, credit: 0, acknowledged: START },
    real: new SendBuffer(START),
  }),
  commands: [
    length.map((count) =>
      command(
        `append ${count}`,
        (model, real) => {
          real.append(STREAM.subarray(model.end, model.end + count));
          model.end += count;
        },
        (model) => !model.finished && model.end + 300_000 < STREAM.byteLength,
      ),
    ),
    fc.constant(
      command('finish', (model, real) => {
        real.finish();
        model.finished = true;
      }),
    ),
    fc.integer({ min: -500, max: 300_000 }).map((ahead) =>
      command(`grant +${ahead}`, (model, real) => {
        const credit = Math.max(0, model.sent + ahead);
        real.grant(credit);
        model.credit = Math.max(model.credit, credit);
      }),
    ),
    fc.integer({ min: -500, max: 300_000 }).map((ahead) =>
      command(`acknowledge +${ahead}`, (model, real) => {
        const offset = Math.max(0, model.acknowledged + ahead);
        real.acknowledge(offset);
        model.acknowledged = Math.max(model.acknowledged, Math.min(offset, model.sent));
        real.trim(offset);
        model.from = Math.max(model.from, Math.min(offset, model.sent, model.end));
      }),
    ),
    fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(300_000)).map(([share, ahead]) =>
      command(`rewind ${share} +${ahead}`, (model, real) => {
        const offset = model.from + Math.floor((next(model) - model.from) * share);
        real.rewind(offset, offset + ahead);
        model.sent = offset;
        model.credit = offset + ahead;
        model.acknowledged = Math.max(model.acknowledged, offset);
      }),
    ),
    fc.tuple(fc.nat(300_000), fc.option(fc.nat(200_000))).map(([most, stop]) =>
      command(`transmit ${most} ${String(stop)}`, (model, real) => {
        const stopAt = stop === null ? undefined : model.sent + stop;
        const parts: Uint8Array[] = [];
        const taken = stopAt === undefined ? real.transmit(parts, most) : real.transmit(parts, most, stopAt);
        const { bytes, fin } = decode(parts);
        hold(
          'as its model',
          bytes.byteLength === taken && taken <= most,
          () => `${bytes.byteLength} bytes, ${taken} taken of ${most}`,
        );
        const limit = Math.min(model.end, Math.max(model.credit, model.sent), stopAt ?? Infinity);
        hold('as its model', model.sent + taken <= limit || taken === 0, () => 'more leaves than may');
        const expected = STREAM.subarray(model.sent, model.sent + taken);
        hold('as its model', expected.equals(bytes), () => `other bytes at ${model.sent}`);
        model.sent += taken;
        if (fin === undefined) return;
        hold(
          'as its model',
          model.finished && fin === model.end && model.sent === fin,
          () => `FIN at ${fin}`,
        );
        model.sent += 1;
      }),
    ),
  ],
  invariant: (model, real) => {
    const is = [real.retainedFrom, real.end, real.next, real.sent, real.credit, real.acknowledged];
    const shouldBe = [model.from, model.end, next(model), model.sent, model.credit, model.acknowledged];
    hold('as its model', is.join() === shouldBe.join(), () => `${is.join()} instead of ${shouldBe.join()}`);
    const held = Buffer.concat(real.views(model.from, model.end));
    const first = held.byteLength === 0 || held[0] === byteAt(model.from);
    hold('as its model', held.byteLength === model.end - model.from && first, () => 'it holds other bytes');
    const canSend =
      model.sent < model.end ? model.sent < model.credit : model.finished && model.sent === model.end;
    hold('as its model', real.canTransmit === canSend, () => `canTransmit is ${real.canTransmit}`);
  },
});

function decode(parts: readonly Uint8Array[]): { bytes: Buffer; fin: number | undefined } {
  const decoder = FrameDecoder.forCarrier('client');
  decoder.push(concatBytes(parts));
  const pieces: Uint8Array[] = [];
  let fin: number | undefined;
  for (let frame = decoder.next(); frame; frame = decoder.next()) {
    if (frame.frame === 'fin') fin = frame.offset;
    else if (frame.frame === 'data' && fin === undefined) pieces.push(frame.bytes);
    else hold('as its model', false, () => `${frame.frame} leaves, behind FIN ${String(fin)}`);
  }
  return { bytes: Buffer.concat(pieces), fin };
}
