/** Peers that say what they like: frames by hand, with true secrets, to find out what the core makes of them. */
import { KeyRing, NodeCrypto } from '../../packages/godwit/src/crypto/index.ts';
import type { MacLabel } from '../../packages/godwit/src/session/index.ts';
import {
  ATTACH_ID_BYTES,
  DATA_TYPE,
  Delivery,
  FrameDecoder,
  NONCE_BYTES,
  NO_MAC,
  PROTOCOL_VERSION,
  Role,
  concatBytes,
  encodeFrame,
  encodePayload,
  encodePreface,
  framePayload,
  macedPart,
  withMac,
  type DataPiece,
  type Frame,
  type FrameName,
  type FrameValue,
} from '../../packages/godwit/src/wire/index.ts';
import { Pipe } from './pipe.ts';
import { WholeTickets, type Ticket } from './whole-tickets.ts';
import type { VirtualServer } from './virtual-server.ts';
import type { World } from './world.ts';

type Values = Record<string, unknown>;

class RawPeer {
  readonly frames: (Frame | DataPiece)[] = [];
  closed = false;
  secret: Uint8Array = new Uint8Array(32);
  readonly #crypto: NodeCrypto;
  readonly #pipe: Pipe;
  readonly #end: 0 | 1;

  constructor(pipe: Pipe, end: 0 | 1, crypto: NodeCrypto) {
    this.#pipe = pipe;
    this.#end = end;
    this.#crypto = crypto;
  }

  listen(onFrame: (frame: Frame | DataPiece) => void, skipBytes: number): void {
    const decoder = FrameDecoder.forCarrier(this.#end === 0 ? 'server' : 'client');
    decoder.setAuthenticated();
    let skip = skipBytes;
    this.#pipe.attach(this.#end, {
      onData: (bytes) => {
        const skipped = Math.min(skip, bytes.byteLength);
        skip -= skipped;
        decoder.push(bytes.subarray(skipped));
        for (let frame = decoder.next(); frame; frame = decoder.next()) {
          this.frames.push(frame);
          onFrame(frame);
        }
      },
      onClose: () => {
        this.closed = true;
      },
    });
  }

  bytes(bytes: Uint8Array): void {
    this.#pipe.send(this.#end, bytes);
  }

  frame<N extends FrameName>(name: N, value: FrameValue<N>): void {
    this.bytes(encodeFrame(name, value));
  }

  data(bytes: Uint8Array): void {
    this.bytes(
      concatBytes([
        Uint8Array.of(
          DATA_TYPE,
          bytes.byteLength >>> 16,
          (bytes.byteLength >>> 8) & 255,
          bytes.byteLength & 255,
        ),
        bytes,
      ]),
    );
  }

  /** With a true MAC, or a wrong one. */
  maced(
    name: FrameName,
    value: Values,
    label: MacLabel,
    options: { context?: Uint8Array[]; forged?: boolean } = {},
  ): Uint8Array {
    const payload = encodePayload(name, { ...value, mac: NO_MAC } as never);
    const { mac } = this.#crypto.execute({
      op: 'mac',
      secret: this.secret,
      label,
      data: [...(options.context ?? []), macedPart(payload)],
    });
    const sent = withMac(payload, options.forged === true ? mac.map((byte) => byte ^ 1) : mac);
    this.bytes(framePayload(name, sent));
    return sent;
  }

  hangUp(): void {
    this.#pipe.close(this.#end);
  }

  find<N extends FrameName>(name: N): Frame<N> | undefined {
    return this.frames.find((frame) => frame.frame === name) as Frame<N> | undefined;
  }
}

/** Of a client that opened at `a` under epoch 1 and got nothing since. */
export const MIGRATE: Omit<FrameValue<'migrate'>, 'head' | 'mac'> = {
  service: 'test',
  body: new Uint8Array(0),
  epoch: 2,
  attachId: new Uint8Array(ATTACH_ID_BYTES),
  received: 0,
  delivered: 0,
  newestEpoch: 1,
  newestK: 0,
  digestFrom: 0,
  digest: 0,
  retainedFrom: 0,
  origin: 'a',
  originEpoch: 1,
  originState: 0,
  cause: 0,
  budgetMs: 3000,
  credit: 65_536,
  retainLimitBytes: 65_536,
  maxBodyBytes: 65_536,
};

/** A client that follows no rules. */
export class RawClient extends RawPeer {
  readonly sessionId: Uint8Array;
  /** As a client does that means well. */
  acknowledgesTickets = false;
  readonly #world: World;
  readonly #keys: NodeCrypto;
  readonly #keyShare: Uint8Array;
  #openPayload: Uint8Array = new Uint8Array(0);
  #nonce: Uint8Array = new Uint8Array(NONCE_BYTES);
  readonly #tickets = new WholeTickets();

  constructor(world: World, server: string, sessionId: Uint8Array = world.bytes(16)) {
    const pipe = new Pipe(world.scheduler, { latencyMs: () => 1 });
    world.pipes.push(pipe);
    const crypto = new NodeCrypto({ now: () => world.now });
    super(pipe, 0, crypto);
    this.#world = world;
    this.#keys = crypto;
    this.#keyShare = crypto.keyShare();
    this.sessionId = sessionId;
    world.server(server).accept(pipe, 'raw client');
    this.listen((frame) => {
      if (frame.frame === 'snapshot') {
        const { length } = this.tickets;
        this.#tickets.take(frame);
        const { epoch, k } = frame;
        if (this.acknowledgesTickets && k > 0 && this.tickets.length > length)
          this.frame('snapshotAck', { epoch, k });
      }
      if (frame.frame === 'support' && frame.keyShare.byteLength > 0) this.#agree(frame);
    }, 0);
    this.bytes(encodePreface(Role.Client));
    world.run(3);
  }

  open(change: Partial<FrameValue<'open'>> = {}): void {
    this.#nonce = this.#world.bytes(NONCE_BYTES);
    this.#openPayload = encodePayload('open', {
      sessionId: this.sessionId,
      epoch: 1,
      service: 'test',
      keyShare: this.#keyShare,
      nonce: this.#nonce,
      credit: 65_536,
      retainLimitBytes: 65_536,
      maxBodyBytes: 65_536,
      features: 0,
      ...change,
    });
    this.bytes(framePayload('open', this.#openPayload));
    this.#world.run(3);
  }

  /** MIGRATE with a true proof for the server that challenged this carrier, or a wrong one. */
  migrate(change: Partial<FrameValue<'migrate'>> = {}, options: { forged?: boolean } = {}): void {
    const challenge = this.find('challenge');
    if (!challenge) throw new Error('no CHALLENGE');
    const value = {
      ...MIGRATE,
      head: this.find('snapshot')?.bytes ?? new Uint8Array(200).fill(7),
      ...change,
    };
    const context = [new TextEncoder().encode(challenge.serverName), challenge.nonce];
    this.maced('migrate', value, 'migrate', { context, ...options });
  }

  /** CONFIRM of the ACCEPT that came. */
  confirm(): void {
    const accept = this.find('accept');
    if (!accept) throw new Error('no ACCEPT');
    this.maced('confirm', { epoch: accept.epoch }, 'confirm', { context: [accept.payload] });
  }

  /** All that came, whole. */
  get tickets(): readonly Ticket[] {
    return this.#tickets.all;
  }

  /** STANDBY with a true proof. */
  standby(head: Uint8Array): void {
    const challenge = this.find('challenge');
    if (!challenge) throw new Error('no CHALLENGE');
    const context = [new TextEncoder().encode(challenge.serverName), challenge.nonce];
    this.maced('standby', { service: 'test', head }, 'standby', { context });
  }

  #agree(support: Frame<'support'>): void {
    const salt = concatBytes([this.#nonce, support.nonce, new Uint8Array(0)]);
    const { secret } = this.#keys.execute({
      op: 'agree',
      ourShare: this.#keyShare,
      peerShare: support.keyShare,
      salt,
      sessionId: this.sessionId,
    });
    if (secret) this.secret = secret;
  }
}

/** A server that answers OPEN as it should, and then follows no rules. */
export class RawServer {
  readonly isAlive = true;
  peer: RawPeer | undefined;
  readonly carriers: RawPeer[] = [];
  readonly #world: World;
  readonly #name: string;
  /** What to say instead of the right thing: in CHALLENGE, ticket 0 and SUPPORT. */
  answer: {
    readonly version?: number;
    readonly ticketEpoch?: number;
    readonly ticketOutput?: number;
    readonly supportEpoch?: number;
    readonly delivery?: Delivery;
  } = {};
  readonly #crypto = new NodeCrypto({ ring: KeyRing.generate(), now: () => 0 });

  constructor(world: World, name: string) {
    this.#world = world;
    this.#name = name;
    world.servers.set(name, this as unknown as VirtualServer);
  }

  accept(pipe: Pipe): void {
    const peer = new RawPeer(pipe, 1, this.#crypto);
    this.carriers.push(peer);
    this.peer ??= peer;
    peer.listen((frame) => {
      if (frame.frame === 'open') this.#opened(peer, frame);
    }, encodePreface(Role.Client).byteLength);
    this.#world.scheduler.after(0, () => {
      const { version = PROTOCOL_VERSION } = this.answer;
      peer.frame('challenge', { version, nonce: this.#world.bytes(NONCE_BYTES), serverName: this.#name });
    });
  }

  #opened(peer: RawPeer, open: Frame<'open'>): void {
    const keyShare = this.#crypto.keyShare();
    const nonce = this.#world.bytes(open.nonce.byteLength);
    const salt = concatBytes([open.nonce, nonce, new Uint8Array(0)]);
    const { secret } = this.#crypto.execute({
      op: 'agree',
      ourShare: keyShare,
      peerShare: open.keyShare,
      salt,
      sessionId: open.sessionId,
    });
    if (!secret) throw new Error('no secret');
    peer.secret = secret;
    const { keyId, masked, otherKeyId } = this.#crypto.execute({
      op: 'maskTriggerKey',
      sessionId: open.sessionId,
      secret,
    });
    const head = this.#world.bytes(200);
    peer.frame('snapshot', {
      epoch: this.answer.ticketEpoch ?? open.epoch,
      k: 0,
      input: 0,
      output: this.answer.ticketOutput ?? 0,
      headBytes: 200,
      totalBytes: 200,
      offset: 0,
      bytes: head,
    });
    const servers = [{ name: this.#name, host: this.#name, port: 1 }];
    peer.maced(
      'support',
      {
        epoch: this.answer.supportEpoch ?? open.epoch,
        delivery: this.answer.delivery ?? Delivery.Replay,
        keyShare,
        nonce,
        triggerKeyId: keyId,
        triggerKey: masked,
        otherTriggerKeyId: otherKeyId,
        credit: 65_536,
        servers,
      },
      'support',
      { context: [open.payload] },
    );
  }
}
