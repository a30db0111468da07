/** Two ends of a peer link, and between them somebody who cuts, changes, repeats and invents what they say. */
import { KeyRing } from '../../../packages/godwit/src/crypto/index.ts';
import {
  MAX_HANDSHAKE_BYTES,
  MAX_RECORD_BYTES,
  PeerChannel,
} from '../../../packages/godwit/src/cluster/peer-channel.ts';
import { PREFACE_BYTES, ProtocolError, concatBytes } from '../../../packages/godwit/src/wire/index.ts';
import type { Script, Step } from '../engine/script.ts';
import { hold, type ScriptTarget } from '../engine/target.ts';
import { Directives } from './directives.ts';
import { opened } from './opened.ts';

/** Records under one key, few enough that scripts go past it. */
const REKEY_MESSAGES = 4;

/** Long enough for two records. */
const LONG_BYTES = 70_000;

export const peerLink: ScriptTarget = {
  kind: 'script',
  name: 'peerLink',
  summary: 'both ends of a peer link, with somebody who knows no key between them',
  operations: ['pass', 'pass', 'pass', 'send', 'send', 'flip', 'drop', 'insert', 'repeat', 'end', 'setup'],
  seeds: () => [
    [
      step('pass', 0),
      step('pass', 1),
      step('pass', 0),
      step('send', 0, 5, 1, 2),
      step('pass', 0),
      step('end', 0),
      step('pass', 0),
    ],
    [
      step('pass', 0, 9),
      step('pass', 0),
      step('pass', 1, 40),
      step('pass', 1),
      step('pass', 0),
      step('send', 1, 255),
      step('pass', 1),
    ],
    [step('setup', 1), step('pass', 0), step('pass', 1)],
    [step('setup', 2), step('pass', 0)],
    [step('setup', 3), step('pass', 0), step('pass', 1)],
    [step('flip', 0, 0, 60), step('pass', 0)],
    [step('pass', 0), step('pass', 1), step('insert', 0, 0, 16, 1), step('pass', 0)],
    [
      step('pass', 0),
      step('pass', 1),
      step('pass', 0),
      ...Array.from({ length: 6 }, () => [step('send', 0, 1), step('pass', 0)]).flat(),
    ],
  ],
  run: (script) => new Bench().run(script),
};

function step(op: string, ...bytes: number[]): Step {
  return { op, bytes: Uint8Array.from(bytes) };
}

/** One end: what it said and has heard, what of its words is under way. */
class End {
  channel: PeerChannel;
  readonly isInitiator: boolean;
  sent: Uint8Array = new Uint8Array(0);
  heard: Uint8Array = new Uint8Array(0);
  underWay: Uint8Array = new Uint8Array(0);
  /** Everything it put on the wire. */
  readonly wire: number[] = [];
  /** What it put on the wire is not what comes out of it. */
  isTampered = false;
  hasFailed = false;
  hasEnded = false;

  constructor(channel: PeerChannel, isInitiator: boolean) {
    this.channel = channel;
    this.isInitiator = isInitiator;
  }

  get maySend(): boolean {
    return this.channel.isOpen && !this.hasFailed && !this.hasEnded;
  }

  put(parts: readonly Uint8Array[]): void {
    const bytes = concatBytes(parts);
    this.underWay = concatBytes([this.underWay, bytes]);
    for (const byte of bytes) this.wire.push(byte);
  }
}

class Bench {
  #ends = makeEnds(0);

  run(script: Script): void {
    for (const { op, bytes } of script) this.#step(op, new Directives(bytes));
    for (const end of this.#ends) this.#check(end);
  }

  #step(op: string, directives: Directives): void {
    if (op === 'setup') {
      this.#ends = makeEnds(directives.u8());
      return;
    }
    const side = directives.u8() % 2;
    const from = this.#ends[side] as End;
    const to = this.#ends[1 - side] as End;
    switch (op) {
      case 'pass':
        this.#pass(from, to, directives.u8());
        return;
      case 'send':
        if (from.maySend) this.#send(from, directives);
        return;
      case 'end':
        if (!from.maySend) return;
        from.put(from.channel.sealEnd());
        from.hasEnded = true;
        return;
      case 'flip': {
        if (from.underWay.byteLength === 0) return;
        const at = directives.u16() % from.underWay.byteLength;
        const old = from.underWay[at] as number;
        from.underWay = from.underWay.with(at, old ^ (1 << (directives.u8() % 8)));
        from.isTampered = true;
        return;
      }
      case 'drop': {
        const count = 1 + directives.u8();
        if (from.underWay.byteLength > 0) from.isTampered = true;
        from.underWay = from.underWay.slice(count);
        return;
      }
      case 'insert':
        from.underWay = concatBytes([directives.rest(), from.underWay]);
        from.isTampered = true;
        return;
      case 'repeat': {
        const at = directives.u16() % (from.wire.length + 1);
        const again = Uint8Array.from(from.wire.slice(at, at + 1 + directives.u16()));
        from.underWay = concatBytes([from.underWay, again]);
        from.isTampered = true;
        return;
      }
      default:
    }
  }

  #send(from: End, directives: Directives): void {
    const length = directives.u8();
    const plaintext = length === 255 ? new Uint8Array(LONG_BYTES).fill(7) : directives.take(length);
    for (let at = 0; at < plaintext.byteLength; at += 60_000) {
      const piece = plaintext.subarray(at, at + 60_000);
      from.put(from.channel.seal([piece.subarray(0, 3), piece.subarray(3)]));
      from.sent = concatBytes([from.sent, piece]);
    }
  }

  /** Hands the next bytes over; all of them for 0. */
  #pass(from: End, to: End, count: number): void {
    const bytes = from.underWay.slice(0, count === 0 ? undefined : count);
    from.underWay = from.underWay.slice(bytes.byteLength);
    if (to.hasFailed || to.channel.isEnded || bytes.byteLength === 0) return;
    try {
      const plaintexts = to.channel.receive(bytes);
      to.heard = concatBytes([to.heard, ...plaintexts]);
      to.put(to.channel.takeOutput());
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      to.hasFailed = true;
      hold(
        'faithful',
        from.isTampered || to.isTampered || !this.#isHonest,
        () => `it failed: ${error.message}`,
      );
    }
    this.#check(to);
  }

  get #isHonest(): boolean {
    return honest.has(this.#ends);
  }

  /** What `end` holds to be true, after whatever came. */
  #check(end: End): void {
    const other = this.#ends[end.isInitiator ? 1 : 0];
    const { channel } = end;
    const kept = opened<{ $chunks: Uint8Array[] }>(channel).$chunks.reduce(
      (sum, { byteLength }) => sum + byteLength,
      0,
    );
    const limit = channel.isOpen ? 2 + MAX_RECORD_BYTES : PREFACE_BYTES + 2 + MAX_HANDSHAKE_BYTES;
    hold('bounded memory', kept <= limit, () => `a peer link keeps ${kept} bytes, of at most ${limit}`);
    hold('authentic', channel.peer === undefined || this.#isHonest, () => {
      return `${channel.peer?.name ?? ''} is believed, which has not the key or is not who is meant`;
    });
    const isPrefix = Buffer.from(other.sent.subarray(0, end.heard.byteLength)).equals(Buffer.from(end.heard));
    hold('authentic', isPrefix, () => 'a peer link gives what was not sent');
    if (other.isTampered || end.isTampered || !this.#isHonest || other.underWay.byteLength > 0) return;
    if (channel.isOpen) {
      hold(
        'faithful',
        end.heard.byteLength === other.sent.byteLength,
        () => 'what was sent and passed on is not heard',
      );
    }
  }
}

/** Pairs whose ends have a key in common and mean each other. */
const honest = new WeakSet<readonly End[]>();

/** 1: no key in common. 2: the initiator looks for another server. 3: the same name at both ends. 4: an older key in common. */
function makeEnds(setup: number): readonly [End, End] {
  const kind = setup % 5;
  const ring = new KeyRing(new Uint8Array(32).fill(1));
  const rings = {
    initiator: kind === 1 ? new KeyRing(new Uint8Array(32).fill(2)) : ring,
    responder: kind === 4 ? new KeyRing([new Uint8Array(32).fill(3), new Uint8Array(32).fill(1)]) : ring,
  };
  const address = (name: string) => ({ name, host: name, port: 1 });
  const initiator = PeerChannel.initiate(
    { ring: rings.initiator, self: address('a'), rekeyMessages: REKEY_MESSAGES },
    kind === 2 ? 'c' : 'b',
  );
  const responder = PeerChannel.respond({
    ring: rings.responder,
    self: address(kind === 3 ? 'a' : 'b'),
    rekeyMessages: REKEY_MESSAGES,
  });
  const ends = [new End(initiator, true), new End(responder, false)] as const;
  ends[0].put(initiator.takeOutput());
  if (kind === 0 || kind === 4) honest.add(ends);
  return ends;
}
