/**
 * A migration played through in memory, once a process, before the first real one (architecture.md, "Rehearsal").
 *
 * The first time a process takes a session over, its code is not compiled yet and the cryptographic library has loaded
 * nothing: that costs more than all the rest of a take-over, just when a client is waiting. So servers and clients play
 * one session through, from OPEN to a restore from a ticket, with keys of their own, in some idle moment after they start.
 */
import { KeyRing, NodeCrypto, crc32, random } from '../crypto/index.ts';
import {
  ClientSession,
  DEFAULT_CLIENT_LIMITS,
  DEFAULT_CLIENT_TIMERS,
  DEFAULT_SERVER_LIMITS,
  DEFAULT_SERVER_TIMERS,
  ServerNode,
  type ServerSession,
} from '../session/index.ts';
import { Delivery, FrameDecoder, Role, decodePreface, encodePreface } from '../wire/index.ts';

/** Longer than anything the play waits for, in milliseconds; the clock of the play is advanced by hand. */
const STEPS_MAX = 200;
const INPUT_BYTES = 64;

let rehearsed = false;

/** Plays once a process, in some later turn of the event loop; the process does not wait for it. */
export function rehearseSoon(delayMs: number): void {
  if (rehearsed) return;
  rehearsed = true;
  setTimeout(rehearse, delayMs).unref();
}

/** Plays now. Answers whether the play ended as it should: a session moved, and closed in order. */
export function rehearse(): boolean {
  const play = new Play();
  return play.run();
}

class Play {
  readonly #ring = KeyRing.generate();
  readonly #serverCrypto = new NodeCrypto({ ring: this.#ring });
  readonly #clientCrypto = new NodeCrypto();
  readonly #client: ClientSession;
  #node = this.#makeNode();
  #carrierId = 0;
  #toServer = FrameDecoder.forCarrier('client');
  #toClient = FrameDecoder.forCarrier('server');
  #now = 1;
  #received = 0;
  #migrated = false;
  #closed = false;

  constructor() {
    this.#client = new ClientSession(
      {
        sessionId: random(16),
        service: '',
        servers: [{ name: '', host: 'rehearsal', port: 1 }],
        keyShare: this.#clientCrypto.keyShare(),
        random,
        crc32,
        limits: DEFAULT_CLIENT_LIMITS,
        timers: DEFAULT_CLIENT_TIMERS,
        detectors: [],
      },
      this.#now,
    );
  }

  run(): boolean {
    this.#client.write(this.#now, new Uint8Array(INPUT_BYTES));
    this.#until(() => this.#received === INPUT_BYTES);
    this.#now += DEFAULT_SERVER_TIMERS.snapshotIntervalMs + 1;
    this.#node.handleTimeout(this.#now);
    this.#client.write(this.#now, new Uint8Array(INPUT_BYTES));
    this.#until(() => this.#received === 2 * INPUT_BYTES);
    // The server is gone with all its memory; another takes the session from the client's ticket.
    this.#node = this.#makeNode();
    this.#client.handleCarrierLost(this.#now, this.#carrierId, {
      code: 'ECONNRESET',
      message: 'rehearsal',
      reset: true,
    });
    this.#until(() => this.#migrated);
    this.#client.write(this.#now, new Uint8Array(INPUT_BYTES));
    this.#client.end(this.#now);
    this.#until(() => this.#closed);
    return this.#closed && this.#migrated && this.#received === 3 * INPUT_BYTES;
  }

  #makeNode(): ServerNode {
    return new ServerNode({
      name: 'rehearsal',
      host: 'rehearsal',
      port: 1,
      service: '',
      delivery: Delivery.Replay,
      schema: 0,
      keyShare: () => this.#serverCrypto.keyShare(),
      random,
      crc32,
      limits: DEFAULT_SERVER_LIMITS,
      timers: DEFAULT_SERVER_TIMERS,
      // tidy-allow: tickets expire by the wall clock
      wallClock: () => Date.now(),
      servers: [],
    });
  }

  #until(condition: () => boolean): void {
    for (let step = 0; step < STEPS_MAX && !condition(); step += 1) {
      this.#clientEvents();
      this.#serverEvents();
      this.#transmit();
    }
  }

  #transmit(): void {
    for (let sent = this.#client.pollTransmit(this.#now); sent; sent = this.#client.pollTransmit(this.#now)) {
      for (const part of sent.parts) this.#toServer.push(part.slice());
    }
    for (let frame = this.#toServer.next(); frame; frame = this.#toServer.next()) {
      this.#node.handleFrame(this.#now, this.#carrierId, frame);
      this.#serverEvents();
    }
    for (let sent = this.#node.pollTransmit(this.#now); sent; sent = this.#node.pollTransmit(this.#now)) {
      for (const part of sent.parts) this.#toClient.push(part.slice());
    }
    for (let frame = this.#toClient.next(); frame; frame = this.#toClient.next()) {
      this.#client.handleFrame(this.#now, this.#carrierId, frame);
      this.#clientEvents();
    }
  }

  #clientEvents(): void {
    for (let event = this.#client.pollEvent(); event; event = this.#client.pollEvent()) {
      if (event.type === 'crypto')
        this.#client.handleCrypto(this.#now, event.id, this.#clientCrypto.execute(event.request));
      else if (event.type === 'dial') this.#connect(event.dialId);
      else if (event.type === 'readable') this.#read();
      else if (event.type === 'migrated') this.#migrated = true;
      else if (event.type === 'closed') this.#closed = true;
    }
  }

  #connect(dialId: number): void {
    this.#carrierId += 1;
    this.#toServer = FrameDecoder.forCarrier('client');
    this.#toClient = FrameDecoder.forCarrier('server');
    decodePreface(encodePreface(Role.Client));
    this.#node.handleCarrier(this.#now, this.#carrierId, {});
    this.#client.handleConnected(this.#now, dialId, this.#carrierId);
  }

  #read(): void {
    for (let chunk = this.#client.read(); chunk !== undefined; chunk = this.#client.read()) {
      if (chunk === 'end') continue;
      this.#received += chunk.byteLength;
      this.#client.consumed(this.#now, chunk.byteLength);
    }
  }

  #serverEvents(): void {
    for (let event = this.#node.pollEvent(); event; event = this.#node.pollEvent()) {
      if (event.type === 'crypto')
        this.#node.handleCrypto(this.#now, event.id, this.#serverCrypto.execute(event.request));
      else if (event.type === 'readable') this.#echo(event.session);
      else if (event.type === 'exportDue') {
        const { session } = event;
        session.exportState(this.#now, {
          state: new Uint8Array(8),
          input: session.received,
          output: session.produced,
        });
      }
    }
  }

  #echo(session: ServerSession): void {
    for (let chunk = session.read(); chunk !== undefined; chunk = session.read()) {
      if (chunk === 'end') {
        session.finConsumed(this.#now);
        session.end(this.#now);
        continue;
      }
      session.consumed(this.#now, chunk.byteLength);
      session.write(this.#now, chunk);
    }
  }
}
