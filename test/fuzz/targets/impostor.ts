/** A server that says what a script wants, with the cluster's key or without. */
import { KeyRing, NodeCrypto } from '../../../packages/godwit/src/crypto/index.ts';
import type { MacLabel } from '../../../packages/godwit/src/session/index.ts';
import {
  FrameDecoder,
  NONCE_BYTES,
  PREFACE_BYTES,
  concatBytes,
  encodeFrame,
  encodeHeader,
  frames,
  macedPart,
  withMac,
  type DataPiece,
  type Delivery,
  type Frame,
  type FrameName,
} from '../../../packages/godwit/src/wire/index.ts';
import type { Pipe } from '../../world/pipe.ts';
import { pattern } from '../../world/server-apps.ts';
import type { VirtualServer } from '../../world/virtual-server.ts';
import type { World } from '../../world/world.ts';
import { Directives, buildFrame, buildPayload, type Truth } from './directives.ts';

/** A carrier to a client. */
export interface ClientLine {
  readonly pipe: Pipe;
  readonly nonce: Uint8Array;
  open: Frame<'open'> | undefined;
  migrate: Frame<'migrate'> | undefined;
  /** The newest epoch that the client named on this carrier. */
  epoch: number;
  /** Input offset behind what came, output offset behind what went out. */
  received: number;
  sent: number;
  /** The token of the last PING. */
  token: number;
  detachEpoch: number;
  isClosed: boolean;
}

/** What an impostor does without being told. */
export const Habit = { Challenge: 1, Support: 2, Accept: 4, Pong: 8, Ack: 16 } as const;

const HEAD_BYTES = 120;
const SALT = new Uint8Array(NONCE_BYTES).fill(0x5a);

export class Impostor {
  readonly lines: ClientLine[] = [];
  readonly name: string;
  isAlive = true;
  readonly isSilent = false;
  habits = 0;
  sentBytes = 0;
  readonly #world: World;
  readonly #delivery: Delivery;
  readonly #crypto: NodeCrypto;
  /** Of sessions that were opened at an impostor: they tell each other. */
  readonly #secrets: Map<string, Uint8Array> | undefined;
  readonly #keyShare: Uint8Array;
  readonly #output = pattern(8192, 5);
  #k = 0;
  #counter = 0;

  /** Without `secrets` it takes part in no agreement: all its proofs are wrong. */
  constructor(world: World, name: string, secrets: Map<string, Uint8Array> | undefined, delivery: Delivery) {
    this.#world = world;
    this.#delivery = delivery;
    this.name = name;
    this.#secrets = secrets;
    this.#crypto = new NodeCrypto({ ring: new KeyRing(new Uint8Array(32).fill(6)), now: () => world.now });
    this.#keyShare = this.#crypto.keyShare();
    world.servers.set(name, this as unknown as VirtualServer);
  }

  accept(pipe: Pipe): void {
    const line: ClientLine = {
      pipe,
      nonce: new Uint8Array(NONCE_BYTES).fill(this.lines.length + 1),
      open: undefined,
      migrate: undefined,
      epoch: 1,
      received: 0,
      sent: 0,
      token: 0,
      detachEpoch: 2,
      isClosed: false,
    };
    this.lines.push(line);
    const decoder = FrameDecoder.forCarrier('client');
    decoder.setAuthenticated();
    let preface = PREFACE_BYTES;
    pipe.attach(1, {
      onData: (bytes) => {
        const skipped = Math.min(preface, bytes.byteLength);
        preface -= skipped;
        decoder.push(bytes.subarray(skipped));
        for (let frame = decoder.next(); frame; frame = decoder.next()) this.#hear(line, frame);
      },
      onClose: () => (line.isClosed = true),
    });
    if ((this.habits & Habit.Challenge) !== 0)
      this.#world.scheduler.after(0, () => this.frame(line, 'challenge', truthfully()));
  }

  /** Its process is gone, and its machine says so. */
  kill(): void {
    this.isAlive = false;
    for (const line of this.lines) line.pipe.abandon(1, false);
  }

  /** The newest, or one before it that is open. */
  line(directives: Directives): ClientLine | undefined {
    const open = this.lines.filter(({ isClosed }) => !isClosed);
    return open[open.length - 1 - (directives.u8() % Math.max(1, open.length))];
  }

  bytes(line: ClientLine, bytes: Uint8Array): void {
    this.sentBytes += bytes.byteLength;
    line.pipe.send(1, bytes);
  }

  data(line: ClientLine, directives: Directives): void {
    const length = directives.u16() % 4096;
    const announced = directives.u8() === 1 ? directives.u16() * 16 : length;
    const at = line.sent % 4096;
    this.bytes(line, concatBytes([encodeHeader(0x10, announced), this.#output.subarray(at, at + length)]));
    line.sent += length;
  }

  /** DATA in frames of one byte. */
  crumbs(line: ClientLine, count: number): void {
    const bytes = new Uint8Array(5 * count);
    for (let i = 0; i < count; i += 1)
      bytes.set([0x10, 0, 0, 1, this.#output[(line.sent + i) % 4096] as number], 5 * i);
    this.bytes(line, bytes);
    line.sent += count;
  }

  frame(line: ClientLine, name: FrameName, directives: Directives): void {
    const { fields } = frames[name];
    const bare = buildPayload(fields, this.#truth(line, name), directives);
    const payload = 'mac' in fields ? this.#withMac(line, name, bare, directives) : bare;
    this.bytes(line, buildFrame(frames[name], payload, directives));
    if (name === 'support') line.open = undefined;
    else if (name === 'accept') {
      line.sent = line.migrate?.received ?? 0;
      line.received = line.migrate?.retainedFrom ?? 0;
    } else if (name === 'fin') line.sent += 1;
  }

  /** A whole ticket, or as much of it as fits into so many pieces, that is only remarkable for its size. */
  ticket(line: ClientLine, directives: Directives): void {
    this.#k += 1;
    const [headBytes, bodyBytes, pieceBytes] = [directives.u16(), directives.u16(), directives.u16()];
    const ticket = new Uint8Array(headBytes + bodyBytes).fill(this.#k);
    const pieces = 1 + directives.u8();
    for (let i = 0, offset = 0; i < pieces && offset <= ticket.byteLength; i += 1) {
      const bytes = ticket.subarray(offset, offset + Math.min(pieceBytes || 16_384, 16_384));
      const { epoch, received: input, sent: output } = line;
      const totalBytes = ticket.byteLength;
      this.bytes(
        line,
        encodeFrame('snapshot', { epoch, k: this.#k, input, output, headBytes, totalBytes, offset, bytes }),
      );
      offset += bytes.byteLength;
      if (offset === totalBytes) return;
    }
  }

  hangUp(line: ClientLine): void {
    line.pipe.close(1);
    line.isClosed = true;
  }

  // --- what it knows -------------------------------------------------------------------------------------------------

  #truth(line: ClientLine, name: FrameName): Truth {
    const { epoch, migrate } = line;
    switch (name) {
      case 'challenge':
        return { version: 1, nonce: line.nonce, serverName: this.name };
      case 'support':
        return this.#support(line);
      case 'accept':
        return {
          epoch,
          source: 2,
          restartEpoch: migrate?.newestEpoch,
          restartK: migrate?.newestK,
          restartOutput: migrate?.received,
          inputStart: migrate?.retainedFrom,
          outputStart: migrate?.received,
          credit: (migrate?.retainedFrom ?? 0) + 65_536,
        };
      case 'refuse':
        return { epoch: migrate ? epoch : 0, code: 14, tryElsewhere: true };
      case 'ack':
        return { received: line.received, credit: line.received + 65_536 };
      case 'fin':
        return { offset: line.sent };
      case 'snapshot': {
        const head = new Uint8Array(HEAD_BYTES).fill(this.#k);
        const first = line.open !== undefined;
        if (!first) this.#k += 1;
        return {
          epoch,
          k: first ? 0 : this.#k,
          input: first ? 0 : line.received,
          output: first ? 0 : line.sent,
          headBytes: HEAD_BYTES,
          totalBytes: HEAD_BYTES,
          bytes: head,
        };
      }
      case 'unprotected':
        return { epoch, input: line.received, output: line.sent };
      case 'close':
        return { epoch, final: line.sent };
      case 'reset':
        return { epoch, code: 18 };
      case 'pong':
        return { token: line.token };
      case 'trigger': {
        this.#counter += 1;
        const to = this.name === 'x' ? 'y' : 'x';
        return {
          sessionId: this.#idOf(line),
          epoch,
          counter: this.#counter,
          from: this.name,
          name: to,
          host: to,
          port: 1,
        };
      }
      case 'detached':
        return { epoch: line.detachEpoch };
      case 'frozen':
        return { epoch: epoch + 1 };
      default:
        return { epoch };
    }
  }

  #support(line: ClientLine): Truth {
    const { keyId, masked, otherKeyId } = this.#crypto.execute({
      op: 'maskTriggerKey',
      sessionId: this.#idOf(line),
      secret: this.#secret,
    });
    return {
      epoch: line.epoch,
      delivery: this.#delivery,
      keyShare: line.open ? this.#keyShare : undefined,
      nonce: line.open ? SALT : undefined,
      triggerKeyId: keyId,
      triggerKey: masked,
      otherTriggerKeyId: otherKeyId,
      credit: line.received + 65_536,
      servers: [this.name, this.name === 'x' ? 'y' : 'x'].map((name) => ({ name, host: name, port: 1 })),
    };
  }

  #idOf({ open }: ClientLine): Uint8Array {
    const known = this.#secrets?.keys().next().value;
    return open?.sessionId ?? (known === undefined ? new Uint8Array(16) : Buffer.from(known, 'hex'));
  }

  /** Of the one session there is: what it gives for tickets are none, and name no session. */
  get #secret(): Uint8Array {
    return this.#secrets?.values().next().value ?? new Uint8Array(32);
  }

  #withMac(line: ClientLine, name: FrameName, bare: Uint8Array, directives: Directives): Uint8Array {
    const directive = directives.u8() % 8;
    const data = [...this.#contextOf(line, name), macedPart(bare)];
    if (directive === 2) return bare; // whatever the fields said
    const label = directive === 1 ? 'confirm' : (LABELS[name] as MacLabel);
    const { mac } =
      name === 'trigger' && directive !== 1
        ? this.#crypto.execute({ op: 'triggerMac', sessionId: this.#idOf(line), data })
        : this.#crypto.execute({ op: 'mac', secret: this.#secret, label, data });
    return withMac(bare, directive === 4 ? mac.with(0, (mac[0] as number) ^ 1) : mac);
  }

  #contextOf(line: ClientLine, name: FrameName): Uint8Array[] {
    if (name === 'support') return line.open ? [line.open.payload] : [];
    return name === 'accept' && line.migrate ? [line.migrate.attachId] : [];
  }

  // --- what it hears -------------------------------------------------------------------------------------------------

  #hear(line: ClientLine, frame: Frame | DataPiece): void {
    switch (frame.frame) {
      case 'open':
        line.open = frame;
        line.epoch = frame.epoch;
        this.#agree(frame);
        if (this.#has(Habit.Support)) {
          this.frame(line, 'snapshot', truthfully());
          this.frame(line, 'support', truthfully());
        }
        return;
      case 'migrate':
        line.migrate = frame;
        line.epoch = frame.epoch;
        if (this.#has(Habit.Accept)) this.frame(line, 'accept', truthfully());
        return;
      case 'detach':
        line.detachEpoch = frame.epoch;
        return;
      case 'ping':
        line.token = frame.token;
        if (this.#has(Habit.Pong)) this.frame(line, 'pong', truthfully());
        return;
      case 'data':
        line.received += frame.bytes.byteLength;
        if (this.#has(Habit.Ack)) this.frame(line, 'ack', truthfully());
        return;
      case 'fin':
        line.received += 1;
        if (this.#has(Habit.Ack)) this.frame(line, 'ack', truthfully());
        return;
      default:
    }
  }

  #has(habit: number): boolean {
    return (this.habits & habit) !== 0;
  }

  #agree(open: Frame<'open'>): void {
    const { secret } = this.#crypto.execute({
      op: 'agree',
      ourShare: this.#keyShare,
      peerShare: open.keyShare,
      salt: concatBytes([open.nonce, SALT]),
      sessionId: open.sessionId,
    });
    if (secret) this.#secrets?.set(Buffer.from(open.sessionId).toString('hex'), secret);
  }
}

function truthfully(): Directives {
  return new Directives(new Uint8Array(0));
}

const LABELS: Partial<Record<FrameName, MacLabel>> = {
  support: 'support',
  accept: 'accept',
  reset: 'reset-server',
  close: 'close-server',
  detached: 'detached',
  frozen: 'frozen',
  trigger: 'trigger',
};
