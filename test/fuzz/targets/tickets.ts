/** Tickets, sealed under keys that come and go, and opened again whole, cut, damaged, and with each other's bodies. */
import { KeyRing } from '../../../packages/godwit/src/crypto/index.ts';
import { TicketSealing } from '../../../packages/godwit/src/crypto/ticket-sealing.ts';
import { claimedSessionId, type TicketHead } from '../../../packages/godwit/src/session/ticket.ts';
import { MAX_TICKET_HEAD_BYTES, ProtocolError, WireCode } from '../../../packages/godwit/src/wire/index.ts';
import type { Script, Step } from '../engine/script.ts';
import { hold, type ScriptTarget } from '../engine/target.ts';
import { Directives } from './directives.ts';

const LIFETIME_MS = 1000;

interface Sealed {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
  readonly keyId: string;
  /** What the head says, once it is open. */
  readonly plain: TicketHead;
  readonly state: Uint8Array;
}

const REFUSALS: readonly number[] = [WireCode.TicketInvalid, WireCode.TicketExpired, WireCode.UnknownKey];

export const tickets: ScriptTarget = {
  kind: 'script',
  name: 'tickets',
  summary: 'sealed tickets, damaged and swapped, under a ring that changes',
  operations: ['seal', 'open', 'open', 'openBody', 'openBody', 'raw', 'rotate', 'accept', 'retire', 'time'],
  seeds: () => [
    [step('seal'), step('open'), step('openBody')],
    [
      step('seal', 1, 5, 9),
      step('seal', 1, 6, 8),
      step('openBody', 0, 1),
      step('openBody', 1, 1),
      step('open', 0, 1, 0, 9, 1),
    ],
    [step('seal', 0, 3), step('rotate'), step('open'), step('retire', 1), step('open'), step('openBody')],
    [step('seal', 2, 2, 1, 2, 3), step('time', 2), step('open'), step('time', 9), step('open')],
    [step('raw', 1, 2, 3), step('open', 0, 2, 200)],
  ],
  run: (script) => new Bench().run(script),
};

function step(op: string, ...bytes: number[]): Step {
  return { op, bytes: Uint8Array.from(bytes) };
}

class Bench {
  readonly #ring = new KeyRing(new Uint8Array(32).fill(1));
  readonly #sealing: TicketSealing;
  readonly #sealed: Sealed[] = [];
  #now = 1_000_000;
  #ivs = 0;
  #keys = 1;

  constructor() {
    this.#sealing = new TicketSealing({
      ring: this.#ring,
      wallClock: () => this.#now,
      // Distinct, and the same in every run.
      random: (length) => new Uint8Array(length).fill((this.#ivs += 1)),
    });
  }

  run(script: Script): void {
    for (const { op, bytes } of script) this.#step(op, new Directives(bytes));
  }

  #step(op: string, directives: Directives): void {
    switch (op) {
      case 'seal':
        if (this.#sealed.length < 32) this.#seal(directives);
        return;
      case 'open': {
        const ticket = this.#pick(directives);
        if (ticket) this.#open(damage(ticket.head, directives));
        return;
      }
      case 'openBody': {
        const [ticket, other] = [this.#pick(directives), this.#pick(directives)];
        if (ticket && other) this.#openBody(ticket, damage(other.body, directives));
        return;
      }
      case 'raw':
        this.#open(directives.rest());
        return;
      case 'rotate':
      case 'accept':
        if (this.#ring.keys.length >= 8) return;
        this.#keys += 1;
        this.#ring[op](new Uint8Array(32).fill(this.#keys));
        return;
      case 'retire': {
        const { idText } = directives.pick(this.#ring.keys);
        if (idText !== this.#ring.newest.idText) this.#ring.retire(idText);
        return;
      }
      case 'time':
        this.#now += directives.u8() * 100;
        return;
      default:
    }
  }

  #pick(directives: Directives): Sealed | undefined {
    return this.#sealed.length === 0 ? undefined : directives.pick(this.#sealed);
  }

  #seal(directives: Directives): void {
    const sessionId = new Uint8Array(16).fill(directives.u8() % 3);
    const plain: TicketHead = {
      sessionId,
      secret: new Uint8Array(32).fill(0x5e),
      epoch: 1 + (directives.u8() % 4),
      k: directives.u8() % 4,
      input: directives.u16(),
      output: directives.u16(),
      inputFinished: false,
      outputFinished: false,
      terminal: false,
      delivery: 0,
      schema: 1,
      service: 'test',
      server: 'a',
      host: 'a',
      port: 1,
      bodyHash: new Uint8Array(32),
      bodyBytes: 0,
      expiresAt: this.#now + LIFETIME_MS,
      state: new Uint8Array(0),
    };
    const state = directives.rest();
    const { head, body } = this.#sealing.seal(plain, state);
    hold(
      'bounded memory',
      head.byteLength <= MAX_TICKET_HEAD_BYTES,
      () => `a head of ${head.byteLength} bytes`,
    );
    this.#sealed.push({ head, body, keyId: this.#ring.newest.idText, plain, state });
  }

  #open(head: Uint8Array): void {
    try {
      claimedSessionId(head);
    } catch (error) {
      if (!(error instanceof ProtocolError && error.wireCode === WireCode.TicketInvalid)) throw error;
    }
    const opened = this.#sealing.open(head);
    const original = this.#sealed.find((ticket) => equal(ticket.head, head));
    if ('refused' in opened) {
      hold('no crash', REFUSALS.includes(opened.refused), () => `refused with code ${opened.refused}`);
      const isGood = original && this.#has(original.keyId) && this.#now < original.plain.expiresAt;
      hold('faithful', isGood !== true, () => `a good ticket is refused with code ${opened.refused}`);
      return;
    }
    hold('authentic', original !== undefined, () => 'a head opens that was never sealed');
    hold('authentic', this.#has(original.keyId), () => 'a head opens under a key that was retired');
    hold('authentic', this.#now < original.plain.expiresAt, () => 'a head opens that has expired');
    const { bodyHash: _hash, bodyBytes, state, ...plain } = opened.head;
    const { bodyHash: _unset, bodyBytes: _length, state: _empty, ...sealed } = original.plain;
    const isWhole = bodyBytes === original.body.byteLength && (bodyBytes > 0 || equal(state, original.state));
    hold('faithful', same(plain, sealed) && isWhole, () => {
      return `${JSON.stringify(plain)} was sealed as ${JSON.stringify(sealed)}`;
    });
  }

  #openBody(ticket: Sealed, body: Uint8Array): void {
    const opened = this.#sealing.open(ticket.head);
    if ('refused' in opened) return;
    const state = this.#sealing.openBody(opened.head, body);
    const isBody = equal(ticket.body, body);
    hold('authentic', isBody || state === undefined, () => 'a head takes the body of another');
    hold(
      'faithful',
      !isBody || (state !== undefined && equal(state, ticket.state)),
      () => 'a body is refused',
    );
  }

  #has(keyId: string): boolean {
    return this.#ring.keys.some((key) => key.idText === keyId);
  }
}

function damage(bytes: Uint8Array, directives: Directives): Uint8Array {
  if (bytes.byteLength === 0) return directives.u8() === 0 ? bytes : directives.rest();
  switch (directives.u8() % 6) {
    case 1: {
      const at = directives.u16() % bytes.byteLength;
      return bytes.slice().with(at, (bytes[at] as number) ^ (1 << (directives.u8() % 8)));
    }
    case 2:
      return bytes.slice(0, bytes.byteLength - (directives.u8() % (bytes.byteLength + 1)));
    case 3:
      return Uint8Array.of(...bytes, ...directives.rest());
    case 4: {
      const replaced = Uint8Array.from(bytes);
      const at = directives.u16() % bytes.byteLength;
      replaced.set(directives.take(bytes.byteLength - at), at);
      return replaced;
    }
    default:
      return bytes;
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function same(a: object, b: object): boolean {
  const text = (value: object): string =>
    JSON.stringify(value, (_, inner: unknown) => (inner instanceof Uint8Array ? [...inner] : inner));
  return text(a) === text(b);
}
