/** A client over a bare socket, with the real cryptography, that says what it likes. */
import { once } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { NodeCrypto, random } from '../../packages/godwit/src/crypto/index.ts';
import type { MacLabel } from '../../packages/godwit/src/session/index.ts';
import {
  ATTACH_ID_BYTES,
  DATA_TYPE,
  FrameDecoder,
  NONCE_BYTES,
  NO_MAC,
  Role,
  concatBytes,
  encodeFrame,
  encodeHeader,
  encodePayload,
  encodePreface,
  encodeText,
  errorCodeOf,
  framePayload,
  macedPart,
  withMac,
  type DataPiece,
  type Frame,
  type FrameName,
  type FrameValue,
} from '../../packages/godwit/src/wire/index.ts';
import { MIGRATE } from '../world/raw-peers.ts';
import { WholeTickets, type Ticket } from '../world/whole-tickets.ts';
import { gained, refused, type Outcome } from './attack.ts';
import type { Member, Scene } from './scene.ts';

/** Nothing here takes as long. */
const PATIENCE_MS = 4000;

const WINDOW = { credit: 1 << 20, retainLimitBytes: 1 << 20, maxBodyBytes: 1 << 20 } as const;

/** What a client knows of its session: whoever has it is that client. */
export interface SessionKnowledge {
  readonly sessionId: Uint8Array;
  readonly secret: Uint8Array;
  readonly ticket: Ticket;
}

export class RawClient {
  readonly socket: Duplex;
  readonly frames: (Frame | DataPiece)[] = [];
  sessionId: Uint8Array = random(16);
  secret: Uint8Array = new Uint8Array(32);
  isClosed = false;
  /** Added to the salt of the key agreement: the exporter of the carrier's TLS. */
  exporter: Uint8Array = new Uint8Array(0);
  readonly crypto = new NodeCrypto();
  readonly #tickets = new WholeTickets();
  #openPayload: Uint8Array = new Uint8Array(0);
  #openShare: Uint8Array = new Uint8Array(0);
  #openNonce: Uint8Array = new Uint8Array(0);
  readonly #waiting: (() => void)[] = [];

  private constructor(socket: Duplex) {
    this.socket = socket;
    const decoder = FrameDecoder.forCarrier('server');
    decoder.setAuthenticated();
    socket.on('data', (chunk: Buffer) => {
      decoder.push(chunk);
      for (let frame = decoder.next(); frame; frame = decoder.next()) this.#take(frame);
      this.#wake();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.isClosed = true;
      this.#wake();
    });
  }

  /** A TCP connection on which nothing was said. */
  static async dial(scene: Scene, { host, port }: Pick<Member, 'host' | 'port'>): Promise<RawClient> {
    const socket = net.connect({ host, port, noDelay: true });
    scene.defer(() => void socket.destroy());
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Over a connection of any kind. */
  static over(socket: Duplex): RawClient {
    return new RawClient(socket);
  }

  /** A carrier that is set up: its CHALLENGE is here. */
  static async connect(scene: Scene, server: Pick<Member, 'host' | 'port'>): Promise<RawClient> {
    const client = await RawClient.dial(scene, server);
    await client.hello();
    return client;
  }

  /** An open session whose client has exchanged these amounts, and holds a ticket that covers each. */
  static async open(
    scene: Scene,
    server: Pick<Member, 'host' | 'port'>,
    amounts: readonly number[] = [100],
  ): Promise<RawClient> {
    const client = await RawClient.connect(scene, server);
    await client.openSession();
    for (const amount of amounts) await client.pay(amount);
    return client;
  }

  async hello(): Promise<Frame<'challenge'>> {
    this.bytes(encodePreface(Role.Client));
    return this.next('challenge');
  }

  bytes(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  frame<N extends FrameName>(name: N, value: FrameValue<N>): void {
    this.bytes(encodeFrame(name, value));
  }

  data(bytes: Uint8Array): void {
    this.bytes(concatBytes([encodeHeader(DATA_TYPE, bytes.byteLength), bytes]));
  }

  hangUp(): void {
    this.socket.destroy();
  }

  // --- what it says ------------------------------------------------------------------------------------------------

  openFrame(change: Partial<FrameValue<'open'>> = {}): Uint8Array {
    this.#openShare = this.crypto.keyShare();
    this.#openNonce = random(NONCE_BYTES);
    this.#openPayload = encodePayload('open', {
      sessionId: this.sessionId,
      epoch: 1,
      service: '',
      keyShare: this.#openShare,
      nonce: this.#openNonce,
      ...WINDOW,
      features: 0,
      ...change,
    });
    return framePayload('open', this.#openPayload);
  }

  async openSession(change: Partial<FrameValue<'open'>> = {}): Promise<void> {
    this.bytes(this.openFrame(change));
    const support = await this.next('support');
    this.agree(support);
    this.frame('ack', { received: 0, credit: WINDOW.credit });
  }

  /** The secret that OPEN and SUPPORT make; false when the SUPPORT is not of whoever has it. */
  agree(support: Frame<'support'>): boolean {
    const { secret } = this.crypto.execute({
      op: 'agree',
      ourShare: this.#openShare,
      peerShare: support.keyShare,
      salt: concatBytes([this.#openNonce, support.nonce, this.exporter]),
      sessionId: this.sessionId,
    });
    if (!secret) return false;
    this.secret = secret;
    return this.crypto.execute({
      op: 'verify',
      secret,
      label: 'support',
      data: [this.#openPayload, macedPart(support.payload)],
      mac: support.mac,
    }).ok;
  }

  /** Pays so much in, and waits for the ticket that covers it. */
  async pay(amount: number): Promise<void> {
    const { k } = this.ticket;
    this.data(encodeText(String(amount)));
    await this.until(() => this.ticket.k > k, `ticket ${k + 1}`);
    const { epoch, k: held, output } = this.ticket;
    this.frame('snapshotAck', { epoch, k: held });
    this.frame('ack', { received: output, credit: output + WINDOW.credit });
  }

  /** All that came, whole, the newest last. */
  get tickets(): readonly Ticket[] {
    return this.#tickets.all;
  }

  get ticket(): Ticket {
    const ticket = this.tickets.at(-1);
    if (!ticket) throw new Error('no ticket has come');
    return ticket;
  }

  get knowledge(): SessionKnowledge {
    return { sessionId: this.sessionId, secret: this.secret, ticket: this.ticket };
  }

  /** MIGRATE of a client that knows this, with a true proof for this carrier, or whatever `change` and `proof` say. */
  migrateFrame(
    { secret, ticket }: Pick<SessionKnowledge, 'secret' | 'ticket'>,
    change: Partial<FrameValue<'migrate'>> = {},
    proof: { readonly mac?: Uint8Array; readonly nonce?: Uint8Array; readonly serverName?: string } = {},
  ): Uint8Array {
    const challenge = this.find('challenge');
    if (!challenge) throw new Error('no CHALLENGE');
    const value = {
      ...MIGRATE,
      ...WINDOW,
      service: '',
      head: ticket.head,
      body: ticket.body,
      epoch: ticket.epoch + 1,
      attachId: random(ATTACH_ID_BYTES),
      received: ticket.output,
      delivered: ticket.output,
      newestEpoch: ticket.epoch,
      newestK: ticket.k,
      retainedFrom: ticket.input,
      digestFrom: ticket.output,
      originEpoch: ticket.epoch,
      originState: 1,
      ...change,
    };
    const context = [encodeText(proof.serverName ?? challenge.serverName), proof.nonce ?? challenge.nonce];
    return this.maced('migrate', value, 'migrate', { secret, context, ...(proof.mac && { mac: proof.mac }) });
  }

  standbyFrame(
    { secret, ticket }: Pick<SessionKnowledge, 'secret' | 'ticket'>,
    nonce?: Uint8Array,
  ): Uint8Array {
    const challenge = this.find('challenge');
    if (!challenge) throw new Error('no CHALLENGE');
    const context = [encodeText(challenge.serverName), nonce ?? challenge.nonce];
    return this.maced('standby', { service: '', head: ticket.head }, 'standby', { secret, context });
  }

  /** A whole frame with its MAC under `secret`, or with that `mac`. */
  maced(
    name: FrameName,
    value: object,
    label: MacLabel,
    options: { secret: Uint8Array; context?: readonly Uint8Array[]; mac?: Uint8Array },
  ): Uint8Array {
    const payload = encodePayload(name, { ...value, mac: NO_MAC } as never);
    const data = [...(options.context ?? []), macedPart(payload)];
    const { mac } = this.crypto.execute({ op: 'mac', secret: options.secret, label, data });
    return framePayload(name, withMac(payload, options.mac ?? mac));
  }

  /** CONFIRM of the ACCEPT that came. */
  async confirm(secret: Uint8Array): Promise<void> {
    const accept = await this.next('accept');
    const { epoch } = accept;
    this.bytes(this.maced('confirm', { epoch }, 'confirm', { secret, context: [accept.payload] }));
    this.frame('ack', { received: accept.outputStart, credit: accept.outputStart + WINDOW.credit });
  }

  /** CLOSE of the session that `client` opened: it ends, deliberately, here. */
  async close(client: RawClient, epoch: number): Promise<void> {
    const { secret } = client;
    this.bytes(this.maced('close', { epoch, final: client.ticket.input }, 'close-client', { secret }));
    await this.next('closeAck');
  }

  /** Whether STANDBY was taken: then PING is answered. */
  async standbyOutcome(): Promise<Outcome> {
    this.frame('ping', { token: 1 });
    return (await this.refusal(() => this.find('pong') !== undefined)) ?? gained('a standby');
  }

  // --- what it hears -----------------------------------------------------------------------------------------------

  find<N extends FrameName>(name: N): Frame<N> | undefined {
    return this.frames.find((frame) => frame.frame === name) as Frame<N> | undefined;
  }

  async next<N extends FrameName>(name: N): Promise<Frame<N>> {
    await this.until(() => this.find(name) !== undefined, name);
    return this.find(name) as Frame<N>;
  }

  async until(isThere: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!isThere()) {
      if (this.isClosed)
        throw new Error(`the carrier was closed while waiting for ${what}: ${this.verdict ?? ''}`);
      if (Date.now() > deadline) throw new Error(`no ${what} within ${PATIENCE_MS} ms`);
      await this.#change(deadline);
    }
  }

  /** What the server said to the last request, if it did. */
  get verdict(): string | undefined {
    for (const frame of this.frames) {
      if (frame.frame === 'refuse') return `REFUSE ${errorCodeOf(frame.code)}`;
      if (frame.frame === 'reset') return `RESET ${errorCodeOf(frame.code)}`;
    }
    return undefined;
  }

  /** Waits until the server has refused, hung up, or done what `isGained` looks for; answers undefined then. */
  async refusal(isGained: () => boolean): Promise<Outcome | undefined> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      if (isGained()) return undefined;
      if (this.verdict !== undefined) return refused(this.verdict);
      if (this.isClosed) return refused('closed');
      if (Date.now() > deadline) throw new Error(`neither an answer nor the end within ${PATIENCE_MS} ms`);
      await this.#change(deadline);
    }
  }

  #take(frame: Frame | DataPiece): void {
    this.frames.push(frame);
    if (frame.frame === 'snapshot') this.#tickets.take(frame);
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #change(deadline: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, deadline - Date.now()) + 1);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
