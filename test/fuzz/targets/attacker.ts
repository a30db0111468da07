/** A client that says what a script wants: it knows what honest clients know, and tells true or false of it. */
import { NodeCrypto, crc32 } from '../../../packages/godwit/src/crypto/index.ts';
import type { MacLabel } from '../../../packages/godwit/src/session/index.ts';
import {
  ATTACH_ID_BYTES,
  Delivery,
  FrameDecoder,
  NONCE_BYTES,
  Role,
  concatBytes,
  encodeHeader,
  encodePreface,
  frames,
  macedPart,
  withMac,
  type DataPiece,
  type Frame,
  type FrameName,
} from '../../../packages/godwit/src/wire/index.ts';
import { Pipe } from '../../world/pipe.ts';
import { pattern } from '../../world/server-apps.ts';
import type { Arena } from './arena.ts';
import type { Directives } from './directives.ts';
import { buildFrame, buildPayload, type Truth } from './directives.ts';

export const CLIENT_FRAMES = (Object.keys(frames) as FrameName[]).filter(
  (name) => frames[name].from !== 'server',
);
export const SERVER_FRAMES = (Object.keys(frames) as FrameName[]).filter(
  (name) => frames[name].from !== 'client',
);

/** A carrier of the attacker's. */
export interface Line {
  readonly pipe: Pipe;
  readonly server: string;
  readonly frames: (Frame | DataPiece)[];
  challenge: Frame<'challenge'> | undefined;
  accept: Frame<'accept'> | undefined;
  /** Output offset at which the carrier stands; undefined while it carries no session. */
  position: number | undefined;
  isClosed: boolean;
}

interface Ticket {
  readonly epoch: number;
  readonly k: number;
  readonly input: number;
  readonly output: number;
  readonly head: Uint8Array;
  readonly body: Uint8Array;
}

const NOTHING = new Uint8Array(0);

export class Attacker {
  readonly lines: Line[] = [];
  sentBytes = 0;
  readonly #arena: Arena;
  readonly #crypto: NodeCrypto;
  readonly #keyShare: Uint8Array;
  readonly #sessionId: Uint8Array;
  #secret: Uint8Array | undefined;
  #openPayload: Uint8Array = NOTHING;
  #openNonce: Uint8Array = new Uint8Array(NONCE_BYTES);
  #ticket: Ticket | undefined;
  #pieces: Frame<'snapshot'>[] = [];
  #output: Uint8Array = NOTHING;
  #askedEpoch = 1;
  readonly #attachId: Uint8Array = new Uint8Array(ATTACH_ID_BYTES).fill(9);
  #origin = 'a';
  #sent = 0;
  #finSent = false;
  #bodySent = 0;
  readonly #input = pattern(8192, 3);

  constructor(arena: Arena, number: number) {
    this.#arena = arena;
    this.#crypto = new NodeCrypto({ now: () => arena.world.now });
    this.#keyShare = this.#crypto.keyShare();
    this.#sessionId = new Uint8Array(16).fill(0xa0 + number);
  }

  /** That of its session, while it has one. */
  get sessionIdText(): string {
    return Buffer.from(this.#sessionId).toString('hex');
  }
  get sessionId(): Uint8Array {
    return this.#sessionId;
  }
  get askedEpoch(): number {
    return this.#askedEpoch;
  }

  /** It has a session of its own, and the secret of that. */
  get isInsider(): boolean {
    return this.#secret !== undefined;
  }

  dial(server: string, preface: Uint8Array = encodePreface(Role.Client)): void {
    const { world } = this.#arena;
    const target = world.servers.get(server);
    if (!target?.isAlive) return;
    const pipe = new Pipe(world.scheduler, { latencyMs: () => 1 });
    const line: Line = {
      pipe,
      server,
      frames: [],
      challenge: undefined,
      accept: undefined,
      position: undefined,
      isClosed: false,
    };
    this.lines.push(line);
    const decoder = FrameDecoder.forCarrier('server');
    decoder.setAuthenticated();
    target.accept(pipe, 'attacker');
    pipe.attach(0, {
      onData: (bytes) => {
        decoder.push(bytes);
        for (let frame = decoder.next(); frame; frame = decoder.next()) this.#hear(line, frame);
      },
      onClose: () => (line.isClosed = true),
    });
    this.#send(line, preface);
  }

  bytes(line: Line, bytes: Uint8Array): void {
    this.#send(line, bytes);
  }

  /** The newest, or one before it that is open. */
  line(directives: Directives): Line | undefined {
    const open = this.lines.filter(({ isClosed }) => !isClosed);
    return open[open.length - 1 - (directives.u8() % Math.max(1, open.length))];
  }

  /** DATA in frames of one byte. */
  crumbs(line: Line, count: number): void {
    const bytes = new Uint8Array(5 * count);
    for (let i = 0; i < count; i += 1)
      bytes.set([0x10, 0, 0, 1, this.#input[(this.#sent + i) % 4096] as number], 5 * i);
    this.#send(line, bytes);
    this.#sent += count;
  }

  /** DATA that goes on where the last ended, or that only says so. */
  data(line: Line, directives: Directives): void {
    const length = directives.u16() % 4096;
    const announced = directives.u8() === 1 ? directives.u16() * 16 : length;
    const at = this.#sent % 4096;
    this.#send(line, concatBytes([encodeHeader(0x10, announced), this.#input.subarray(at, at + length)]));
    this.#sent += length;
  }

  /** A frame with the fields that the directives ask for, and a true MAC if they do. */
  frame(line: Line, name: FrameName, directives: Directives): void {
    const { fields } = frames[name];
    const bare = buildPayload(fields, this.#truth(line, name), directives);
    const payload = 'mac' in fields ? this.#withMac(line, name, bare, directives) : bare;
    this.#send(line, buildFrame(frames[name], payload, directives));
    this.#note(name, payload);
  }

  /** The payload of a MIGRATE that its client might have sent to that server, on a carrier with that nonce. */
  migrateFor(serverName: string, nonce: Uint8Array, directives: Directives): Uint8Array {
    const bare = buildPayload(frames.migrate.fields, this.#migrate(this.#overheardHead), directives);
    const data = [new TextEncoder().encode(serverName), nonce, macedPart(bare)];
    const secret = this.#secret ?? new Uint8Array(32);
    const { mac } = this.#crypto.execute({ op: 'mac', secret, label: 'migrate', data });
    this.#askedEpoch += 1;
    return withMac(bare, mac);
  }

  hangUp(line: Line): void {
    line.pipe.close(0);
    line.isClosed = true;
  }

  #send(line: Line, bytes: Uint8Array): void {
    this.sentBytes += bytes.byteLength;
    line.pipe.send(0, bytes);
  }

  // --- what it knows -------------------------------------------------------------------------------------------------

  #truth(line: Line, name: FrameName): Truth {
    const epoch = line.accept?.epoch ?? this.#askedEpoch;
    const received = line.position ?? this.#output.byteLength;
    const head = this.#ticket?.head ?? this.#overheardHead;
    switch (name) {
      case 'open':
        this.#openNonce = new Uint8Array(NONCE_BYTES).fill(0x0e);
        return {
          sessionId: this.#sessionId,
          epoch: this.#askedEpoch,
          service: 'test',
          keyShare: this.#keyShare,
          nonce: this.#openNonce,
          credit: 65_536,
          retainLimitBytes: 65_536,
          maxBodyBytes: 65_536,
        };
      case 'standby':
        return { service: 'test', head };
      case 'watch':
        return {
          add: [{ sessionId: this.#watchedId, epoch: this.#askedEpoch }],
          remove: [{ sessionId: this.#watchedId }],
        };
      case 'migrate':
        return this.#migrate(head);
      case 'confirm':
        return { epoch };
      case 'body':
        return {
          epoch: this.#askedEpoch,
          offset: this.#bodySent,
          bytes: this.#ticket?.body.subarray(this.#bodySent),
        };
      case 'ack':
        return { received, credit: received + 65_536 };
      case 'fin':
        return { offset: this.#sent };
      case 'snapshotAck':
        return { epoch: this.#ticket?.epoch, k: this.#ticket?.k };
      case 'reset':
        return { epoch, code: 18 };
      case 'close':
        return { epoch, final: this.#sent + (this.#finSent ? 1 : 0) };
      case 'detach':
        return { epoch: this.#askedEpoch + 1 };
      default:
        return { epoch };
    }
  }

  #migrate(head: Uint8Array): Truth {
    const ticket = this.#ticket;
    const from = ticket?.output ?? 0;
    const isCommit = this.#arena.delivery === Delivery.Commit;
    return {
      service: 'test',
      head: ticket?.head ?? head,
      body: ticket && ticket.body.byteLength <= 2048 ? ticket.body : NOTHING,
      epoch: this.#askedEpoch + 1,
      attachId: this.#attachId,
      received: this.#output.byteLength,
      delivered: isCommit ? from : this.#output.byteLength,
      newestEpoch: ticket?.epoch ?? 1,
      newestK: ticket?.k ?? 0,
      digestFrom: from,
      digest: isCommit ? 0 : crc32(this.#output.subarray(from), 0),
      retainedFrom: ticket?.input ?? 0,
      origin: this.#origin,
      budgetMs: 3000,
      credit: this.#output.byteLength + 65_536,
      retainLimitBytes: 65_536,
      maxBodyBytes: 65_536,
    };
  }

  /** Of the witness, as anybody on the path could have seen it. */
  get #overheardHead(): Uint8Array {
    const snapshot = this.#arena.overheard.findLast(({ frame }) => frame.frame === 'snapshot')?.frame;
    return snapshot?.frame === 'snapshot' ? snapshot.bytes.subarray(0, snapshot.headBytes) : NOTHING;
  }

  /** Of its own session, or of somebody else's. */
  get #watchedId(): Uint8Array {
    return this.isInsider ? this.#sessionId : this.#arena.witness.session.sessionId;
  }

  #withMac(line: Line, name: FrameName, bare: Uint8Array, directives: Directives): Uint8Array {
    const directive = directives.u8() % 8;
    const label = directive === 1 ? 'accept' : LABELS[name];
    const data = [...this.#contextOf(line, name), macedPart(bare)];
    const secret = this.#secret ?? new Uint8Array(32);
    const overheard = this.#arena.overheard.findLast(({ frame }) => frame.frame === name)?.frame;
    if (label === undefined || directive === 2) return bare; // whatever the fields said
    if (directive === 3 && overheard && 'mac' in overheard) return withMac(bare, overheard.mac);
    const { mac } = this.#crypto.execute({ op: 'mac', secret, label, data });
    return withMac(bare, directive === 4 ? mac.with(0, (mac[0] as number) ^ 1) : mac);
  }

  #contextOf(line: Line, name: FrameName): Uint8Array[] {
    const { challenge } = line;
    if (name === 'confirm') return line.accept ? [line.accept.payload] : [];
    if (name !== 'migrate' && name !== 'standby') return [];
    return challenge ? [new TextEncoder().encode(challenge.serverName), challenge.nonce] : [];
  }

  /** What it has said of itself holds from then on. */
  #note(name: FrameName, payload: Uint8Array): void {
    if (name === 'open') this.#openPayload = payload;
    else if (name === 'migrate' || name === 'detach') this.#askedEpoch += 1;
    else if (name === 'fin') this.#finSent = true;
    else if (name === 'body') this.#bodySent += payload.byteLength - 10;
    if (name === 'migrate') this.#bodySent = 0;
  }

  // --- what it hears -------------------------------------------------------------------------------------------------

  #hear(line: Line, frame: Frame | DataPiece): void {
    line.frames.push(frame);
    switch (frame.frame) {
      case 'challenge':
        line.challenge = frame;
        return;
      case 'support':
        if (frame.keyShare.byteLength > 0) this.#agree(line, frame);
        return;
      case 'accept':
        line.accept = frame;
        line.position = frame.outputStart;
        this.#sent = frame.inputStart;
        this.#origin = line.server;
        return;
      case 'snapshot':
        this.#piece(frame);
        return;
      case 'data':
        this.#take(line, frame.bytes);
        return;
      default:
    }
  }

  #agree(line: Line, support: Frame<'support'>): void {
    const { secret } = this.#crypto.execute({
      op: 'agree',
      ourShare: this.#keyShare,
      peerShare: support.keyShare,
      salt: concatBytes([this.#openPayload.subarray(-36, -20), support.nonce]),
      sessionId: this.#openPayload.slice(0, 16),
    });
    this.#secret = secret;
    line.position = 0;
    this.#origin = line.server;
  }

  #piece(piece: Frame<'snapshot'>): void {
    if (piece.offset === 0) this.#pieces = [];
    this.#pieces.push(piece);
    const whole = concatBytes(this.#pieces.map(({ bytes }) => bytes));
    if (whole.byteLength < piece.totalBytes) return;
    const { epoch, k, input, output, headBytes } = piece;
    this.#ticket = { epoch, k, input, output, head: whole.slice(0, headBytes), body: whole.slice(headBytes) };
  }

  #take(line: Line, bytes: Uint8Array): void {
    if (line.position === undefined) return;
    const known = this.#output.byteLength - line.position;
    line.position += bytes.byteLength;
    if (bytes.byteLength > known)
      this.#output = concatBytes([this.#output, bytes.subarray(Math.max(0, known))]);
  }
}

const LABELS: Partial<Record<FrameName, MacLabel>> = {
  standby: 'standby',
  migrate: 'migrate',
  confirm: 'confirm',
  reset: 'reset-client',
  close: 'close-client',
  detach: 'detach',
};
