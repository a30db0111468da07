import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import vm from 'node:vm';
import fc from 'fast-check';
import { FRAME_NAMES, anyPeerFrame, frameFrom } from '../../../../test/arbitraries/frames.ts';
import { concatBytes, fromHex } from './bytes.ts';
import { ProtocolError, WireCode } from './codes.ts';
import { FIRST_SKIPPABLE_TYPE, FrameDecoder } from './decoder.ts';
import { DATA_TYPE } from './definition.ts';
import { encodeFrame, encodeHeader, encodePeerFrame } from './encode.ts';
import { frames } from './frames.ts';
import {
  HEADER_BYTES,
  MAX_CONTROL_BYTES,
  MAX_DATA_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_SNAPSHOT_CHUNK_BYTES,
  MAX_UNAUTHENTICATED_FRAME_BYTES,
  MAX_UNAUTHENTICATED_SKIPPED_BYTES,
  MAX_UNAUTHENTICATED_SKIPPED_FRAMES,
} from './limits.ts';

type Decoder = FrameDecoder<{ readonly frame: string }>;
type Decoded = { readonly frame: string } & Readonly<Record<string, unknown>>;

const PING = encodeFrame('ping', { token: 7 });

function carrier(sender: 'client' | 'server', options: { authenticated: boolean }): Decoder {
  const decoder = FrameDecoder.forCarrier(sender);
  if (options.authenticated) decoder.setAuthenticated();
  return decoder;
}

function frameBytes(type: number, payload: Uint8Array): Uint8Array {
  return concatBytes([encodeHeader(type, payload.byteLength), payload]);
}

/** All that comes of `chunks`, with adjacent DATA joined: where it is cut is not the protocol's business. */
function decodeAll(decoder: Decoder, chunks: readonly Uint8Array[]): Decoded[] {
  const all: Decoded[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    drain(decoder, all);
  }
  return all;
}

function drain(decoder: Decoder, all: Decoded[]): void {
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) append(all, frame);
}

function append(all: Decoded[], frame: Decoded): void {
  const last = all.at(-1);
  const isMore = frame.frame === 'data' && last?.frame === 'data';
  if (!isMore) all.push(frame.frame === 'data' ? data(frame['bytes'] as Uint8Array) : frame);
  else all[all.length - 1] = data(concatBytes([last['bytes'] as Uint8Array, frame['bytes'] as Uint8Array]));
}

function data(bytes: Uint8Array): Decoded {
  return { frame: 'data', bytes: Uint8Array.from(bytes) };
}

function cut(bytes: Uint8Array, at: readonly number[]): Uint8Array[] {
  const cuts = [
    0,
    ...at.map((share) => Math.floor(share * bytes.byteLength)).sort((a, b) => a - b),
    bytes.byteLength,
  ];
  return cuts.slice(1).map((end, index) => bytes.slice(cuts[index], end));
}

/** The error of `next`, which must be the peer's fault and final. */
function failureOf(decoder: Decoder, ...chunks: readonly Uint8Array[]): ProtocolError {
  return failureWith(WireCode.Protocol, decoder, ...chunks);
}

function failureWith(code: WireCode, decoder: Decoder, ...chunks: readonly Uint8Array[]): ProtocolError {
  try {
    decodeAll(decoder, chunks);
  } catch (error) {
    assert.ok(error instanceof ProtocolError, String(error));
    assert.equal(error.wireCode, code);
    assert.equal(decoder.bufferedBytes, 0, 'a decoder that has failed holds nothing');
    decoder.push(PING);
    assert.throws(
      () => decoder.next(),
      (again) => again === error,
    );
    assert.equal(decoder.bufferedBytes, 0);
    return error;
  }
  assert.fail('nothing was refused');
}

/** Bytes on a carrier, with what must come of them. */
interface Part {
  readonly bytes: Uint8Array;
  readonly becomes: readonly Decoded[];
}

const dataPart: fc.Arbitrary<Part> = fc.uint8Array({ maxLength: 300, size: 'medium' }).map((payload) => ({
  bytes: frameBytes(DATA_TYPE, payload),
  becomes: payload.byteLength === 0 ? [] : [data(payload)],
}));

const unknownPart: fc.Arbitrary<Part> = fc
  .record({
    type: fc.integer({ min: FIRST_SKIPPABLE_TYPE, max: 0xff }),
    payload: fc.uint8Array({ maxLength: 300 }),
  })
  .map(({ type, payload }) => ({ bytes: frameBytes(type, payload), becomes: [] }));

function framePart(sender: 'client' | 'server'): fc.Arbitrary<Part> {
  return frameFrom(sender).map(({ name, value, bytes }) => ({
    bytes,
    becomes: [{ ...value, frame: name, payload: bytes.slice(HEADER_BYTES) }],
  }));
}

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

describe('however a stream is cut into chunks, the same frames come of it', () => {
  for (const sender of ['client', 'server'] as const) {
    test(`from a ${sender}`, () => {
      const parts = fc.array(fc.oneof(framePart(sender), framePart(sender), dataPart, unknownPart), {
        maxLength: 8,
      });
      fc.assert(
        fc.property(parts, cuts, fc.boolean(), fc.boolean(), (sent, at, pushFirst, asBuffers) => {
          const stream = concatBytes(sent.map(({ bytes }) => bytes));
          const chunks = cut(stream, at).map((chunk) => (asBuffers ? Buffer.from(chunk) : chunk));
          const decoder = carrier(sender, { authenticated: true });
          const expected: Decoded[] = [];
          for (const frame of sent.flatMap(({ becomes }) => becomes)) append(expected, frame);
          if (pushFirst) for (const chunk of chunks.splice(0)) decoder.push(chunk);
          assert.deepEqual(decodeAll(decoder, pushFirst ? [new Uint8Array(0)] : chunks), expected);
          assert.equal(decoder.bufferedBytes, 0);
        }),
        { numRuns: 300 },
      );
    });
  }

  test('from a peer', () => {
    fc.assert(
      fc.property(fc.array(anyPeerFrame(), { maxLength: 8 }), cuts, (sent, at) => {
        const stream = concatBytes(sent.map(({ bytes }) => bytes));
        assert.deepEqual(
          decodeAll(FrameDecoder.forPeerLink(), cut(stream, at)),
          sent.map(({ name, value, bytes }) => ({
            ...value,
            frame: name,
            payload: bytes.slice(HEADER_BYTES),
          })),
        );
      }),
    );
  });

  test('even when every byte comes alone', () => {
    const snapshot = {
      epoch: 1,
      k: 2,
      input: 3,
      output: 4,
      headBytes: 5,
      totalBytes: 6,
      offset: 0,
      bytes: new Uint8Array(2000),
    };
    const stream = concatBytes([
      PING,
      encodeFrame('snapshot', snapshot),
      frameBytes(DATA_TYPE, Uint8Array.of(1, 2)),
      PING,
    ]);
    const whole = decodeAll(carrier('server', { authenticated: true }), [stream]);
    const bytes = Array.from(stream, (byte) => Uint8Array.of(byte));
    assert.deepEqual(decodeAll(carrier('server', { authenticated: true }), bytes), whole);
    assert.deepEqual(
      whole.map(({ frame }) => frame),
      ['ping', 'snapshot', 'data', 'ping'],
    );
  });
});

describe('DATA', () => {
  test('is passed on as it arrives, as views of what came in', () => {
    const decoder = carrier('client', { authenticated: true });
    const first = concatBytes([encodeHeader(DATA_TYPE, 100_000), new Uint8Array(60_000).fill(1)]);
    const second = concatBytes([new Uint8Array(40_000).fill(2), PING]);
    for (const [chunk, at, length] of [
      [first, HEADER_BYTES, 60_000],
      [second, 0, 40_000],
    ] as const) {
      decoder.push(chunk);
      const piece = decoder.next() as unknown as { frame: string; bytes: Uint8Array };
      assert.equal(piece.frame, 'data');
      assert.equal(piece.bytes.buffer, chunk.buffer);
      assert.deepEqual([piece.bytes.byteOffset, piece.bytes.byteLength], [at, length]);
    }
    assert.equal(decoder.next()?.frame, 'ping');
  });

  test('holds nothing back: what is buffered is what is not decoded', () => {
    const decoder = carrier('client', { authenticated: true });
    decodeAll(decoder, [encodeHeader(DATA_TYPE, MAX_DATA_BYTES)]);
    for (let i = 0; i < MAX_DATA_BYTES / 65_536; i += 1) {
      decoder.push(new Uint8Array(65_536));
      assert.equal(decoder.bufferedBytes, 65_536);
      drain(decoder, []);
      assert.equal(decoder.bufferedBytes, 0);
    }
    assert.deepEqual(
      decodeAll(decoder, [PING]).map(({ frame }) => frame),
      ['ping'],
    );
  });

  test('may come before authentication, when credit bounds it', () => {
    const bytes = frameBytes(DATA_TYPE, new Uint8Array(MAX_UNAUTHENTICATED_FRAME_BYTES + 1));
    assert.equal(decodeAll(carrier('client', { authenticated: false }), [bytes]).length, 1);
  });

  test('of no bytes is nothing', () => {
    const bytes = concatBytes([encodeHeader(DATA_TYPE, 0), encodeHeader(DATA_TYPE, 0), PING]);
    assert.deepEqual(
      decodeAll(carrier('client', { authenticated: true }), [bytes]).map(({ frame }) => frame),
      ['ping'],
    );
  });

  test('over its limit is refused by its header', () => {
    const decoder = carrier('client', { authenticated: true });
    assert.match(
      failureOf(decoder, encodeHeader(DATA_TYPE, MAX_DATA_BYTES + 1)).message,
      /^DATA of 1048577 bytes is over/,
    );
  });

  test('is unknown between servers', () => {
    assert.match(
      failureOf(FrameDecoder.forPeerLink(), encodeHeader(DATA_TYPE, 1)).message,
      /unknown critical frame type 0x10/,
    );
  });
});

test('a decoder that has decoded all it was given holds no chunk, so that an idle carrier costs nothing', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = vm.runInNewContext('gc') as () => void;
  const decoder = carrier('client', { authenticated: true });
  const weak = ((): WeakRef<Uint8Array> => {
    // Ends within a header: its first bytes are held, but not the chunk.
    const chunk = concatBytes([PING, frameBytes(DATA_TYPE, new Uint8Array(60_000)), PING.subarray(0, 3)]);
    assert.equal(decodeAll(decoder, [chunk]).length, 2);
    return new WeakRef(chunk);
  })();
  assert.equal(decoder.bufferedBytes, 3);
  for (let round = 0; round < 20 && weak.deref() !== undefined; round += 1) {
    await setImmediate();
    collectGarbage();
  }
  assert.ok(weak.deref() === undefined, 'the chunk is still held');
  assert.equal(decodeAll(decoder, [PING.subarray(3)]).length, 1);
});

describe('a frame outlives the chunk it came in', () => {
  test('so that the carrier may reuse its buffer', () => {
    const decoder = carrier('client', { authenticated: true });
    const chunk = Buffer.from(
      encodeFrame('body', { epoch: 1, offset: 2, bytes: new Uint8Array(100).fill(3) }),
    );
    const [frame] = decodeAll(decoder, [chunk]);
    chunk.fill(9);
    assert.deepEqual(frame?.['bytes'], new Uint8Array(100).fill(3));
    assert.ok(!(frame['payload'] as Uint8Array).includes(9));
  });
});

describe('a frame over its limit is refused by its header, before anything is allocated', () => {
  for (const name of FRAME_NAMES) {
    test(name, () => {
      const { type, from, max } = frames[name];
      const sender = from === 'server' ? 'server' : 'client';
      const decoder = carrier(sender, { authenticated: true });
      assert.match(
        failureOf(decoder, encodeHeader(type, max + 1)).message,
        new RegExp(`over the limit of ${max}$`),
      );

      const allowed = carrier(sender, { authenticated: true });
      decodeAll(allowed, [encodeHeader(type, max)]);
      assert.ok(allowed.bufferedBytes <= max);
    });
  }

  test('and before authentication no limit is above 4 KiB', () => {
    for (const name of FRAME_NAMES) {
      const { type, from, max } = frames[name];
      const sender = from === 'server' ? 'server' : 'client';
      const length = Math.min(max, MAX_UNAUTHENTICATED_FRAME_BYTES);
      const { message } = failureOf(
        carrier(sender, { authenticated: false }),
        encodeHeader(type, length + 1),
      );
      assert.match(message, new RegExp(`over the limit of ${length}$`), name);
      const decoder = carrier(sender, { authenticated: false });
      decodeAll(decoder, [encodeHeader(type, length)]);
      assert.ok(decoder.bufferedBytes <= length, name);
    }
  });

  test('and messages name the frame as the specification does', () => {
    const decoder = carrier('server', { authenticated: true });
    assert.match(
      failureOf(decoder, encodeHeader(frames.needBody.type, 5000)).message,
      /^NEED_BODY of 5000 bytes/,
    );
  });
});

test('a frame that only the other end may send is refused by its header', () => {
  for (const name of FRAME_NAMES) {
    const { type, from } = frames[name];
    if (from === 'both') continue;
    const sender = from === 'client' ? 'server' : 'client';
    const { message } = failureOf(carrier(sender, { authenticated: true }), encodeHeader(type, 0));
    assert.match(message, new RegExp(`^[A-Z_]+ from a ${sender}$`), name);
  }
});

describe('a frame of an unknown type', () => {
  const known = new Set<number>([DATA_TYPE, ...Object.values(frames).map(({ type }) => type)]);

  test('that is critical is refused', () => {
    for (let type = 0; type < FIRST_SKIPPABLE_TYPE; type += 1) {
      if (known.has(type)) continue;
      const { message } = failureOf(carrier('client', { authenticated: true }), encodeHeader(type, 0));
      assert.match(message, /^unknown critical frame type 0x[0-9a-f]{2}$/);
    }
  });

  test('that may be skipped is skipped', () => {
    for (let type = FIRST_SKIPPABLE_TYPE; type <= 0xff; type += 1) {
      for (const payload of [new Uint8Array(0), new Uint8Array(5)]) {
        for (const decoder of [
          carrier('server', { authenticated: false }),
          FrameDecoder.forPeerLink() as Decoder,
        ]) {
          assert.deepEqual(decodeAll(decoder, [frameBytes(type, payload)]), []);
          assert.equal(decoder.bufferedBytes, 0);
        }
      }
    }
  });

  test('that may be skipped is skipped without being held, be it as large as a header can say', () => {
    const decoder = carrier('client', { authenticated: true });
    const chunk = new Uint8Array(1 << 20).fill(0xff);
    decodeAll(decoder, [encodeHeader(0xfe, MAX_PAYLOAD_BYTES)]);
    for (let left = MAX_PAYLOAD_BYTES; left > 0; left -= chunk.byteLength) {
      assert.deepEqual(decodeAll(decoder, [chunk.subarray(0, left)]), []);
      assert.equal(decoder.bufferedBytes, 0);
    }
    assert.deepEqual(
      decodeAll(decoder, [PING]).map(({ frame }) => frame),
      ['ping'],
    );
  });

  for (const [what, type] of [
    ['frames of unknown types', 0xfe],
    ['empty DATA', DATA_TYPE],
  ] as const)
    test(`${what} are only so many before authentication, and as many as there are behind it`, () => {
      const empty = encodeHeader(type, 0);
      const decoder = carrier('client', { authenticated: false });
      const allowed = new Array<Uint8Array>(MAX_UNAUTHENTICATED_SKIPPED_FRAMES).fill(empty);
      assert.deepEqual(decodeAll(decoder, allowed), []);
      const { message } = failureWith(WireCode.LimitExceeded, decoder, empty);
      assert.match(message, /17 frames of .* came to nothing before authentication/);
      const known = carrier('client', { authenticated: false });
      decodeAll(known, allowed);
      known.setAuthenticated();
      assert.deepEqual(decodeAll(known, [...allowed, ...allowed]), []);
    });

  test('has only so many bytes before authentication, of all together, and none of a frame too many is awaited', () => {
    const length = MAX_UNAUTHENTICATED_FRAME_BYTES;
    const frame = frameBytes(0x80, new Uint8Array(length));
    const decoder = carrier('client', { authenticated: false });
    const count = Math.floor(MAX_UNAUTHENTICATED_SKIPPED_BYTES / frame.byteLength);
    assert.deepEqual(decodeAll(decoder, new Array<Uint8Array>(count).fill(frame)), []);
    failureWith(WireCode.LimitExceeded, decoder, encodeHeader(0x80, length));
  });

  test('is bounded before authentication', () => {
    const length = MAX_UNAUTHENTICATED_FRAME_BYTES;
    decodeAll(carrier('client', { authenticated: false }), [encodeHeader(0x80, length)]);
    const { message } = failureOf(
      carrier('client', { authenticated: false }),
      encodeHeader(0x80, length + 1),
    );
    assert.match(message, /before authentication of 4097 bytes/);
  });
});

describe('a payload that is no such frame is refused', () => {
  const epoch = '000000000001';
  const cases: readonly (readonly [what: string, type: number, payload: string, says: RegExp])[] = [
    ['cut short', frames.ack.type, '0000000000000001', /truncated/],
    ['empty', frames.needBody.type, '', /truncated/],
    ['too long', frames.refuse.type, `${epoch}00010100016100`, /1 bytes behind the last field/],
    ['with a number above 2^53 − 1', frames.ping.type, '0020000000000000', /above 2\^53/],
    ['with a flag that is neither 0 nor 1', frames.refuse.type, `${epoch}0001020000`, /a flag is 2/],
    ['with text that is not UTF-8', frames.refuse.type, `${epoch}0001010001ff`, /not UTF-8/],
    [
      'with text over its limit',
      frames.open.type,
      `${'00'.repeat(16)}${epoch}0041${'61'.repeat(65)}`,
      /65 bytes is over its limit/,
    ],
    ['with text longer than the payload', frames.refuse.type, `${epoch}000101000261`, /truncated/],
    ['with a choice that is none', frames.accept.type, `${epoch}04${'00'.repeat(60)}`, /a field is 4/],
  ];
  for (const [what, type, payload, says] of cases) {
    test(what, () => {
      const bytes = frameBytes(type, fromHex(payload));
      // RESET_ACK, PING and ACK come from both.
      const sender =
        Object.values(frames).find((frame) => frame.type === type)?.from === 'client' ? 'client' : 'server';
      assert.match(failureOf(carrier(sender, { authenticated: true }), bytes).message, says);
    });
  }

  test('with a list over its limit', () => {
    const watch = frameBytes(
      frames.watch.type,
      concatBytes([fromHex('0401'), new Uint8Array(1025 * 22), fromHex('0000')]),
    );
    assert.match(
      failureOf(carrier('client', { authenticated: true }), watch).message,
      /a list of 1025 items is over/,
    );
  });

  test('and so is what comes behind it', () => {
    const decoder = carrier('client', { authenticated: true });
    failureOf(decoder, concatBytes([encodeHeader(frames.ping.type, 1), new Uint8Array(1), PING]));
  });
});

describe('a caller that does not call next()', () => {
  test('finds the chunks kept in order, and counted', () => {
    const decoder = carrier('client', { authenticated: true });
    let bytes = 0;
    for (let token = 0; token < 1000; token += 1) {
      const frame = encodeFrame('ping', { token });
      decoder.push(frame.subarray(0, 5));
      decoder.push(frame.subarray(5));
      bytes += frame.byteLength;
    }
    assert.equal(decoder.bufferedBytes, bytes);
    for (let token = 0; token < 1000; token += 1) {
      assert.equal((decoder.next() as Decoded | undefined)?.['token'], token);
      // What comes meanwhile goes behind what waits.
      if (token === 500) decoder.push(encodeFrame('ping', { token: 1000 }));
    }
    assert.equal((decoder.next() as Decoded | undefined)?.['token'], 1000);
    assert.equal(decoder.next(), undefined);
    assert.equal(decoder.bufferedBytes, 0);
  });

  test('may authenticate the sender before the next frame is looked at', () => {
    const decoder = carrier('client', { authenticated: false });
    const body = encodeFrame('body', {
      epoch: 1,
      offset: 0,
      bytes: new Uint8Array(MAX_SNAPSHOT_CHUNK_BYTES),
    });
    decoder.push(concatBytes([PING, body]));
    assert.equal(decoder.next()?.frame, 'ping');
    decoder.setAuthenticated();
    assert.equal(decoder.next()?.frame, 'body');
  });
});

describe('whatever comes in, what is held stays bounded', () => {
  /** Bytes that look like frames often enough to get past the first header. */
  const likelyHeader = fc
    .record({
      type: fc.oneof(
        fc.constantFrom(...Object.values(frames).map(({ type }) => type), DATA_TYPE, 0x80),
        fc.nat(255),
      ),
      length: fc.oneof(fc.nat(40), fc.nat(5000), fc.nat(MAX_PAYLOAD_BYTES)),
    })
    .map(({ type, length }) => encodeHeader(type, length));
  const garbage = fc.array(
    fc.oneof(
      likelyHeader,
      fc.uint8Array({ maxLength: 60 }),
      fc.nat(3000).map((n) => new Uint8Array(n)),
    ),
    {
      maxLength: 40,
    },
  );

  for (const authenticated of [false, true]) {
    for (const sender of ['client', 'server'] as const) {
      test(`from a ${sender}, ${authenticated ? 'authenticated' : 'not authenticated'}`, () => {
        const limit = authenticated ? MAX_CONTROL_BYTES : MAX_UNAUTHENTICATED_FRAME_BYTES;
        fc.assert(
          fc.property(garbage, (chunks) => {
            const decoder = carrier(sender, { authenticated });
            try {
              for (const chunk of chunks) {
                decodeAll(decoder, [chunk]);
                assert.ok(decoder.bufferedBytes <= limit + HEADER_BYTES, String(decoder.bufferedBytes));
              }
            } catch (error) {
              assert.ok(error instanceof ProtocolError, String(error));
              assert.equal(decoder.bufferedBytes, 0);
            }
          }),
          { numRuns: 300 },
        );
      });
    }
  }

  test('from a peer', () => {
    const decoder = FrameDecoder.forPeerLink();
    const pull = encodePeerFrame('pull', {
      requestId: 1,
      sessionId: new Uint8Array(16),
      nonce: new Uint8Array(16),
      deadlineMs: 5,
      migrate: new Uint8Array(3000),
    });
    for (const byte of pull.subarray(0, -1)) {
      assert.deepEqual(decodeAll(decoder, [Uint8Array.of(byte)]), []);
      assert.ok(decoder.bufferedBytes <= pull.byteLength);
    }
    assert.equal(decodeAll(decoder, [pull.subarray(-1)]).length, 1);
  });
});

test('what was lent is kept as a copy: the lender may use its memory again', () => {
  const frames = [encodeFrame('ping', { token: 1 }), encodeFrame('ping', { token: 2 }), PING];
  const bytes = concatBytes(frames);
  for (let cut = 1; cut < bytes.byteLength; cut += 1) {
    const lent = Buffer.from(bytes);
    const decoder = carrier('server', { authenticated: true });
    decoder.push(lent.subarray(0, cut));
    // One frame is taken at the most, as by a caller that must wait for an answer.
    const first = decoder.next();
    decoder.keep();
    const rest = lent.subarray(cut);
    decoder.push(rest);
    decoder.keep();
    lent.fill(0xff);
    const tokens: unknown[] = [];
    for (let frame = first ?? decoder.next(); frame !== undefined; frame = decoder.next())
      tokens.push((frame as unknown as { token: number }).token);
    assert.deepEqual(tokens, [1, 2, 7], `cut at ${cut} of ${bytes.byteLength}`);
  }
});
