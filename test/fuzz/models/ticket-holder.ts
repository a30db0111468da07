/** TicketHolder next to the newest whole ticket and the pieces of the next. */
import fc from 'fast-check';
import { TicketHolder } from '../../../packages/godwit/src/session/ticket-holder.ts';
import {
  ProtocolError,
  comparePoints,
  encodeFrame,
  type Frame,
} from '../../../packages/godwit/src/wire/index.ts';
import { decodePayload } from '../../../packages/godwit/src/wire/decoder.ts';
import { hold } from '../engine/target.ts';
import { opened } from '../targets/opened.ts';
import { retainedBytes } from '../targets/state.ts';
import { command, modelTarget } from './model.ts';

const MAX_HEAD_BYTES = 60;
const MAX_BODY_BYTES = 400;

interface Ticket {
  readonly epoch: number;
  readonly k: number;
  readonly headBytes: number;
  readonly bytes: Buffer;
}

interface Holder {
  held: Ticket | undefined;
  incoming: { ticket: Ticket; taken: number } | undefined;
}

function pieceOf(
  { epoch, k, headBytes, bytes }: Ticket,
  from: number,
  to: number,
  totalBytes = bytes.byteLength,
): Frame<'snapshot'> {
  const piece = bytes.subarray(from, to);
  const value = { epoch, k, input: 0, output: 0, headBytes, totalBytes, offset: from, bytes: piece };
  // As the decoder does: a payload that came has memory of its own, where one that was written shares it with others.
  return decodePayload('snapshot', encodeFrame('snapshot', value).slice(4));
}

function refused(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (error instanceof ProtocolError) return;
    throw error;
  }
  hold('as its model', false, () => 'a piece is taken that should not be');
}

/** A piece that came in order, or the first of a ticket. */
function take(model: Holder, real: TicketHolder, ticket: Ticket, from: number, to: number): void {
  const isOld = model.held !== undefined && comparePoints(ticket, model.held) < 0;
  const whole = real.accept(pieceOf(ticket, from, to));
  if (isOld) {
    hold('as its model', whole === undefined, () => 'an older ticket is taken');
    return;
  }
  const isWhole = to >= ticket.bytes.byteLength;
  hold('as its model', (whole !== undefined) === isWhole, () => `whole is ${whole !== undefined}`);
  if (whole) {
    model.held = ticket;
    model.incoming = undefined;
  } else model.incoming = { ticket, taken: to };
}

const ticket = fc
  .tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.nat(4),
    fc.nat(MAX_HEAD_BYTES),
    fc.nat(MAX_BODY_BYTES),
    fc.nat(255),
  )
  .map(([epoch, k, headBytes, bodyBytes, fill]) => ({
    epoch,
    k,
    headBytes,
    bytes: Buffer.alloc(headBytes + bodyBytes, fill),
  }))
  .filter(({ bytes }) => bytes.byteLength > 0);

export const ticketHolder = modelTarget<Holder, TicketHolder>({
  name: 'ticketHolder',
  summary: 'TicketHolder: pieces in order and out of it, newer and older tickets, carriers that break',
  maxCommands: 50,
  setup: () => ({
    model: { held: undefined, incoming: undefined },
    real: new TicketHolder(MAX_HEAD_BYTES, MAX_BODY_BYTES),
  }),
  commands: [
    fc
      .tuple(ticket, fc.integer({ min: 1, max: 500 }))
      .map(([next, length]) =>
        command(
          `begin (${next.epoch}, ${next.k}) of ${next.bytes.byteLength} with ${length}`,
          (model, real) => take(model, real, next, 0, Math.min(length, next.bytes.byteLength)),
        ),
      ),
    fc.integer({ min: 1, max: 500 }).map((length) =>
      command(
        `go on with ${length}`,
        (model, real) => {
          const { ticket: next, taken } = model.incoming as NonNullable<Holder['incoming']>;
          take(model, real, next, taken, Math.min(taken + length, next.bytes.byteLength));
        },
        (model) => model.incoming !== undefined,
      ),
    ),
    fc.integer({ min: -40, max: 40 }).map((off) =>
      command(
        `go on ${off} off`,
        (model, real) => {
          const { ticket: next, taken } = model.incoming as NonNullable<Holder['incoming']>;
          const from = taken + off;
          if (off === 0 || from <= 0 || from >= next.bytes.byteLength) return;
          if (model.held && comparePoints(next, model.held) < 0) return;
          refused(() => real.accept(pieceOf(next, from, from + 1)));
        },
        (model) => model.incoming !== undefined,
      ),
    ),
    ticket.map((next) =>
      command(`empty, too long, or a head too long`, (model, real) => {
        refused(() =>
          real.accept(pieceOf(next, 0, next.bytes.byteLength, MAX_HEAD_BYTES + MAX_BODY_BYTES + 1)),
        );
        refused(() =>
          real.accept({ ...pieceOf(next, 0, 1, MAX_HEAD_BYTES + 9), headBytes: MAX_HEAD_BYTES + 1 }),
        );
        if (!model.held || comparePoints(next, model.held) >= 0)
          refused(() => real.accept(pieceOf(next, 0, 0)));
      }),
    ),
    fc.constant(
      command('the carrier breaks', (model, real) => {
        real.abandonIncoming();
        model.incoming = undefined;
      }),
    ),
    fc.constant(
      command('clear', (model, real) => {
        real.clear();
        model.held = undefined;
        model.incoming = undefined;
      }),
    ),
  ],
  invariant: (model, real) => {
    const { held } = real;
    hold('as its model', (held === undefined) === (model.held === undefined), () => 'held');
    if (held && model.held) {
      const { headBytes, bytes } = model.held;
      const isSame =
        comparePoints(held, model.held) === 0 && Buffer.concat([held.head, held.body]).equals(bytes);
      hold('as its model', isSame && held.head.byteLength === headBytes, () => 'another ticket is held');
    }
    const taken = (model.held?.bytes.byteLength ?? 0) + (model.incoming?.taken ?? 0);
    hold('as its model', real.heldBytes === taken, () => `${real.heldBytes} bytes held, not ${taken}`);
    // A whole ticket, and pieces of another, each of at least a byte.
    const kept = retainedBytes(opened(real), new Set());
    hold('bounded memory', kept <= 2000 + 60 * taken, () => `${kept} bytes kept for ${taken}`);
  },
});
