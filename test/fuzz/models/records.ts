/** Records of a trunk, written in batches and read however their bytes are cut, next to a list of bytes for each channel. */
import fc from 'fast-check';
import { RecordBatch } from '../../../packages/godwit/src/carriers/record-batch.ts';
import {
  ProtocolError,
  RecordReader,
  RecordType,
  writeRecordHeader,
} from '../../../packages/godwit/src/wire/index.ts';
import { hold } from '../engine/target.ts';
import { command, modelTarget } from './model.ts';

const CHANNELS = 6;

interface Sent {
  /** What was sent in each channel, and how it went on: as a text, so that it can be compared. */
  readonly channels: Buffer[];
  readonly events: string[];
}

/** Both ends, with what is on its way between them. */
class Pipe {
  readonly batch = new RecordBatch();
  wire: Buffer = Buffer.alloc(0);
  readonly channels = Array.from({ length: CHANNELS }, () => Buffer.alloc(0));
  readonly events: string[] = [];
  readonly #reader = new RecordReader({
    onBytes: (channel, piece) => {
      this.channels[channel - 1] = Buffer.concat([this.channels[channel - 1] as Buffer, piece]);
    },
    onOpen: (channel) => this.events.push(`open ${channel}`),
    onClose: (channel) => this.events.push(`close ${channel}`),
    onRefused: (channel) => this.events.push(`refused ${channel}`),
  });

  flush(): void {
    this.wire = Buffer.concat([this.wire, ...this.batch.take()]);
  }

  deliver(bytes: number): void {
    this.#reader.push(this.wire.subarray(0, bytes));
    this.wire = this.wire.subarray(bytes);
  }

  /** What is no record is an error with a code, and never anything else. */
  deliverRubbish(bytes: Uint8Array): void {
    const handlers = {
      onBytes: (_channel: number, piece: Uint8Array) =>
        hold('as its model', piece.byteLength > 0, () => 'a piece of no bytes'),
      onOpen: (channel: number) => hold('as its model', channel > 0, () => 'channel 0'),
      onClose: (channel: number) => hold('as its model', channel > 0, () => 'channel 0'),
      onRefused: (channel: number) => hold('as its model', channel > 0, () => 'channel 0'),
    };
    try {
      const reader = new RecordReader(handlers);
      for (const byte of bytes) reader.push(Uint8Array.of(byte));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    }
  }
}

const channel = fc.nat(CHANNELS - 1);
const size = fc.oneof(fc.nat(40), fc.nat(5_000), fc.nat(70_000));
const STREAM = Buffer.from(Uint8Array.from({ length: 80_000 }, (_, i) => i * 5 + (i >>> 8)));

export const records = modelTarget<Sent, Pipe>({
  name: 'records',
  summary: 'records of a trunk, in batches and in chunks, next to a list of bytes for each channel',
  maxCommands: 60,
  setup: () => ({
    model: { channels: Array.from({ length: CHANNELS }, () => Buffer.alloc(0)), events: [] },
    real: new Pipe(),
  }),
  commands: [
    fc.tuple(channel, fc.array(size, { maxLength: 4 }), fc.nat(255)).map(([to, sizes, first]) =>
      command(`write ${to} ${sizes.join()} from ${first}`, (model, real) => {
        const parts = sizes.map((length, index) => STREAM.subarray(first + index, first + index + length));
        real.batch.addBytes(to + 1, parts);
        model.channels[to] = Buffer.concat([model.channels[to] as Buffer, ...parts]);
      }),
    ),
    fc.tuple(channel, fc.constantFrom('open', 'close', 'refused')).map(([to, what]) =>
      command(`${what} ${to}`, (model, real) => {
        const types = { open: RecordType.Open, close: RecordType.Close, refused: RecordType.Refused };
        real.batch.add(types[what], to + 1);
        model.events.push(`${what} ${to + 1}`);
      }),
    ),
    fc.constant(command<Sent, Pipe>('flush', (_model, real) => real.flush())),
    size.map((bytes) => command<Sent, Pipe>(`deliver ${bytes}`, (_model, real) => real.deliver(bytes))),
    fc
      .tuple(fc.nat(255), fc.nat(0xffffff), fc.nat(0xffffffff), fc.uint8Array({ maxLength: 40 }))
      .map(([type, length, to, behind]) =>
        command<Sent, Pipe>(`rubbish ${type} ${length} ${to} ${behind.join()}`, (_model, real) => {
          const header = new Uint8Array(8);
          writeRecordHeader(header, 0, { type: type as RecordType, channel: to, length });
          real.deliverRubbish(Buffer.concat([header, behind]));
        }),
      ),
  ],
  invariant: (model, real) => {
    for (const [index, bytes] of real.channels.entries())
      hold(
        'as its model',
        (model.channels[index] as Buffer).subarray(0, bytes.byteLength).equals(bytes),
        () => `channel ${index + 1} has other bytes`,
      );
  },
  finish: (model, real) => {
    real.flush();
    real.deliver(real.wire.byteLength);
    for (const [index, bytes] of real.channels.entries())
      hold(
        'as its model',
        (model.channels[index] as Buffer).equals(bytes),
        () => `channel ${index + 1} is not whole`,
      );
    hold('as its model', model.events.join() === real.events.join(), () => `${real.events.join()} came`);
  },
});
