/** ReceiveBuffer next to what it should have received, handed out and granted. */
import fc from 'fast-check';
import { ReceiveBuffer } from '../../../packages/godwit/src/session/receive-buffer.ts';
import { ProtocolError, WireCode } from '../../../packages/godwit/src/wire/index.ts';
import { hold } from '../engine/target.ts';
import { opened } from '../targets/opened.ts';
import { command, modelTarget } from './model.ts';

const WINDOW_BYTES = 4096;
const START = 5;

interface Stream {
  position: number;
  received: number;
  handed: number;
  consumed: number;
  /** Bytes below it may be handed out. */
  released: number;
  fin: number | undefined;
  finHanded: boolean;
  largestChunkBytes: number;
}

/** Byte of the stream at an offset. */
function byteAt(offset: number): number {
  return (offset * 7 + (offset >>> 8)) & 0xff;
}

/** More than a run gets to. */
const STREAM = Buffer.from(Uint8Array.from({ length: 1 << 18 }, (_, offset) => byteAt(offset)));

function bytesAt(offset: number, length: number): Buffer {
  return STREAM.subarray(offset, offset + length);
}

/** All of a stream's bytes that came. */
function bytesReceived({ received, fin }: Stream): number {
  return Math.min(received, fin ?? received);
}

function refused(code: number, action: () => void): void {
  try {
    action();
  } catch (error) {
    if (error instanceof ProtocolError && error.wireCode === code) return;
    throw error;
  }
  hold('as its model', false, () => `nothing was refused with code ${code}`);
}

const length = fc.oneof(fc.nat(3), fc.nat(40), fc.nat(1500));

export const receiveBuffer = modelTarget<Stream, ReceiveBuffer>({
  name: 'receiveBuffer',
  summary: 'ReceiveBuffer: duplicates, credit, the stage, chunks of every size, carriers that begin again',
  maxCommands: 80,
  setup: () => ({
    model: {
      position: START,
      received: START,
      handed: START,
      consumed: START,
      released: Number.MAX_SAFE_INTEGER,
      fin: undefined,
      finHanded: false,
      largestChunkBytes: 0,
    },
    real: new ReceiveBuffer(START, WINDOW_BYTES),
  }),
  commands: [
    fc.tuple(length, fc.nat(9000)).map(([bytes, beside]) =>
      command(
        `accept ${bytes} beside ${beside}`,
        (model, real) => {
          const chunk = new Uint8Array(bytes + beside);
          chunk.set(bytesAt(model.position, bytes), beside);
          const piece = chunk.subarray(beside);
          const end = model.position + bytes;
          if (end > model.received && model.fin !== undefined) {
            refused(WireCode.Protocol, () => real.accept(piece));
            model.position = end;
            return;
          }
          if (end > real.credit) {
            refused(WireCode.LimitExceeded, () => real.accept(piece));
            model.position = end;
            return;
          }
          const fresh = real.accept(piece);
          const expected = Math.max(0, end - model.received);
          hold(
            'as its model',
            fresh.byteLength === expected,
            () => `${fresh.byteLength} of ${expected} bytes are new`,
          );
          model.position = end;
          model.received = Math.max(model.received, end);
          model.largestChunkBytes = Math.max(model.largestChunkBytes, chunk.byteLength);
        },
        (model) => model.position <= model.received,
      ),
    ),
    fc.constant(
      command(
        'FIN',
        (model, real) => {
          if (model.fin !== undefined && model.fin !== model.position) {
            refused(WireCode.Protocol, () => void real.acceptFin(model.position));
            return;
          }
          const isNew = real.acceptFin(model.position);
          hold('as its model', isNew === model.received <= model.position, () => 'FIN');
          model.fin = model.position;
          model.position += 1;
          model.received = Math.max(model.received, model.position);
        },
        (model) => model.position === bytesReceived(model),
      ),
    ),
    fc.constant(
      command('read', (model, real) => {
        const end = Math.min(bytesReceived(model), Math.max(model.released, model.handed));
        const canRead =
          model.handed < end ||
          (model.fin === model.handed &&
            !model.finHanded &&
            model.fin < model.released &&
            model.received > model.fin);
        hold('as its model', real.canRead === canRead, () => `canRead is ${real.canRead}`);
        const chunk = real.read();
        if (chunk === undefined) {
          hold('as its model', !canRead, () => 'nothing is handed out');
        } else if (chunk === 'end') {
          hold(
            'as its model',
            model.handed === model.fin && !model.finHanded,
            () => 'an end too many, or too early',
          );
          model.finHanded = true;
        } else {
          const expected = bytesAt(model.handed, chunk.byteLength);
          hold('as its model', expected.equals(chunk), () => `other bytes at ${model.handed}`);
          hold(
            'as its model',
            model.handed + chunk.byteLength <= end,
            () => 'more is handed out than may be',
          );
          model.handed += chunk.byteLength;
        }
      }),
    ),
    fc.nat(2000).map((count) =>
      command(`consume ${count}`, (model, real) => {
        const taken = Math.min(count, model.handed - model.consumed);
        real.consume(taken);
        model.consumed += taken;
      }),
    ),
    fc.nat(3000).map((ahead) =>
      command(`release +${ahead}`, (model, real) => {
        model.released = (model.released === Number.MAX_SAFE_INTEGER ? model.handed : model.released) + ahead;
        real.release(model.released);
      }),
    ),
    fc.nat(3000).map((below) =>
      command(
        `truncate -${below}`,
        (model, real) => {
          const offset = Math.max(model.handed, model.received - below);
          real.truncate(offset);
          if (offset >= model.received) return;
          if (model.fin !== undefined && offset <= model.fin) model.fin = undefined;
          model.received = offset;
          real.reposition(offset);
          model.position = offset;
        },
        (model) => !model.finHanded,
      ),
    ),
    fc.nat(3000).map((below) =>
      command(`reposition -${below}`, (model, real) => {
        const offset = Math.max(START, model.received - below);
        real.reposition(offset);
        model.position = offset;
        refused(WireCode.Protocol, () => real.reposition(model.received + 1));
      }),
    ),
    fc.constant(
      command('ACK', (model, real) => {
        const { received, credit } = real.takeAck();
        hold(
          'as its model',
          received === model.received && credit === real.credit,
          () => 'an ACK says other things',
        );
        hold('as its model', !real.ackPending, () => 'an ACK is pending right after one');
      }),
    ),
    fc.constant(
      command('discard', (model, real) => {
        real.discard();
        model.released = Number.MAX_SAFE_INTEGER;
        model.consumed += bytesReceived(model) - model.handed;
        model.handed = bytesReceived(model);
        model.finHanded = model.fin !== undefined && model.received > model.fin;
      }),
    ),
  ],
  invariant: (model, real) => {
    hold('as its model', real.received === model.received && real.handed === model.handed, () => {
      return `received ${real.received}, handed ${real.handed}; it should be ${model.received}, ${model.handed}`;
    });
    hold(
      'as its model',
      real.consumed === model.consumed && real.finHanded === model.finHanded,
      () => 'consumed',
    );
    hold(
      'as its model',
      real.heldBytes === bytesReceived(model) - model.handed,
      () => `${real.heldBytes} bytes held`,
    );
    hold('bounded memory', real.heldBytes <= WINDOW_BYTES + 1, () => `${real.heldBytes} bytes held`);
    const chunks = opened<{ $chunks: Uint8Array[]; $head: number }>(real);
    const buffers = new Set(chunks.$chunks.slice(chunks.$head).map(({ buffer }) => buffer));
    const kept = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
    const allowed = 2 * WINDOW_BYTES + 2 * 4096 + 8 * model.largestChunkBytes;
    hold('bounded memory', kept <= allowed, () => `${kept} bytes kept for ${real.heldBytes}`);
    hold('bounded memory', chunks.$chunks.length <= 100, () => `${chunks.$chunks.length} chunks`);
  },
});
