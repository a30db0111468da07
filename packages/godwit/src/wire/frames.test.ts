import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  FRAME_NAMES,
  PEER_FRAME_NAMES,
  frameOf,
  largest,
  peerFrameOf,
} from '../../../../test/arbitraries/frames.ts';
import type { Encoded } from '../../../../test/arbitraries/frames.ts';
import { concatBytes } from './bytes.ts';
import { ProtocolError } from './codes.ts';
import { FrameDecoder, decodePayload } from './decoder.ts';
import { DATA_TYPE, MAC_BYTES } from './definition.ts';
import type { FrameDefinition } from './definition.ts';
import {
  NO_MAC,
  encodeAck,
  encodeFrame,
  encodeHeader,
  encodePayload,
  framePayload,
  macedPart,
  withMac,
} from './encode.ts';
import { frames } from './frames.ts';
import {
  HEADER_BYTES,
  MAX_CONTROL_BYTES,
  MAX_INLINE_BODY_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_SERVERS,
  MAX_SNAPSHOT_CHUNK_BYTES,
  MAX_STATE_CHUNK_BYTES,
  MAX_UNAUTHENTICATED_FRAME_BYTES,
} from './limits.ts';
import { peerFrames } from './peer-frames.ts';
import { encodeStruct, sumOf } from './schema.ts';

/** How often a property is tried for each of the frames. */
const RUNS = { numRuns: 40 };

const TABLES: readonly (readonly [table: string, frames: Readonly<Record<string, FrameDefinition>>])[] = [
  ['frame', frames],
  ['peer frame', peerFrames],
];

/** Frames that end in a piece of something, with the most bytes of a piece. */
const PIECE_BYTES: Readonly<Record<string, number>> = {
  body: MAX_SNAPSHOT_CHUNK_BYTES,
  snapshot: MAX_SNAPSHOT_CHUNK_BYTES,
  stateChunk: MAX_STATE_CHUNK_BYTES,
};

/** Decodes the one frame that `bytes` are, on an authenticated carrier or link. */
function decodeOne(name: string, bytes: Uint8Array): unknown {
  let decoder: FrameDecoder<{ readonly frame: string }>;
  if (name in peerFrames) decoder = FrameDecoder.forPeerLink();
  else
    decoder = FrameDecoder.forCarrier(
      frames[name as keyof typeof frames].from === 'server' ? 'server' : 'client',
    );
  decoder.setAuthenticated();
  decoder.push(bytes);
  const frame = decoder.next();
  assert.equal(decoder.next(), undefined);
  assert.equal(decoder.bufferedBytes, 0);
  return frame;
}

function roundTrips(encoded: fc.Arbitrary<Encoded>): void {
  fc.assert(
    fc.property(encoded, ({ name, value, bytes }) => {
      assert.deepEqual(decodeOne(name, bytes), { ...value, frame: name, payload: bytes.slice(HEADER_BYTES) });
    }),
    RUNS,
  );
}

/** Every payload that is a little shorter, and one that is longer, makes no frame. */
function refusesOtherLengths({ name, bytes }: Encoded, hasRest: boolean): void {
  const payload = bytes.subarray(HEADER_BYTES);
  const type = bytes[0] as number;
  for (let length = 0; length < Math.min(payload.byteLength, hasRest ? 10 : Infinity); length += 1) {
    const cut = concatBytes([encodeHeader(type, length), payload.subarray(0, length)]);
    if (
      hasRest &&
      length >= sumOf(TABLES.find(([, table]) => name in table)?.[1][name]?.fields ?? {}, 'minBytes')
    )
      break;
    assert.throws(() => decodeOne(name, cut), ProtocolError, `${length} of ${payload.byteLength} bytes`);
  }
  if (hasRest) return;
  const longer = concatBytes([encodeHeader(type, payload.byteLength + 1), payload, new Uint8Array(1)]);
  assert.throws(() => decodeOne(name, longer), ProtocolError, 'one byte more');
}

describe('a frame comes back as it was sent, and is refused with a byte less or more', () => {
  for (const name of FRAME_NAMES) {
    test(name, () => {
      roundTrips(frameOf(name));
      fc.assert(
        fc.property(frameOf(name), (encoded) => {
          refusesOtherLengths(encoded, name in PIECE_BYTES);
        }),
        { numRuns: 3 },
      );
    });
  }
});

test('an ACK that is made and decoded by hand is what its declaration says', () => {
  for (const received of [0, 1, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER])
    for (const credit of [0, 0x8000_0001, Number.MAX_SAFE_INTEGER]) {
      assert.deepEqual(encodeAck({ received, credit }), encodeFrame('ack', { received, credit }));
      const payload = encodePayload('ack', { received, credit });
      assert.deepEqual(decodeOne('ack', framePayload('ack', payload)), decodePayload('ack', payload));
    }
});

describe('a peer frame comes back as it was sent, and is refused with a byte less or more', () => {
  for (const name of PEER_FRAME_NAMES) {
    test(name, () => {
      roundTrips(peerFrameOf(name));
      fc.assert(
        fc.property(peerFrameOf(name), (encoded) => {
          refusesOtherLengths(encoded, name in PIECE_BYTES);
        }),
        { numRuns: 3 },
      );
    });
  }
});

for (const [table, definitions] of TABLES) {
  describe(`of the ${table}s`, () => {
    const entries = Object.entries(definitions);

    test('each has a type of its own, below the range that may be skipped', () => {
      const types = entries.map(([, { type }]) => type);
      assert.equal(new Set(types).size, types.length);
      for (const type of types)
        assert.ok(type > 0 && type < 0x80 && (table !== 'frame' || type !== DATA_TYPE));
    });

    test('none has a field that hides its name or its payload', () => {
      for (const [name, { fields }] of entries)
        assert.ok(!('frame' in fields) && !('payload' in fields), name);
    });

    test('a MAC comes last, where macedPart() and withMac() expect it', () => {
      for (const [name, { fields }] of entries) {
        const index = Object.keys(fields).indexOf('mac');
        if (index === -1) continue;
        assert.equal(index, Object.keys(fields).length - 1, name);
        assert.equal(fields['mac']?.maxBytes, MAC_BYTES, name);
      }
    });

    test('the limit is what the largest values take, and within that of all frames', () => {
      for (const [name, { fields, max }] of entries) {
        const piece = PIECE_BYTES[name];
        assert.equal(piece === undefined, Number.isFinite(sumOf(fields, 'maxBytes')), name);
        const payload = encodeStruct(fields, largest(fields, piece ?? 0) as never);
        assert.equal(payload.byteLength, max, name);
        assert.ok(max <= MAX_CONTROL_BYTES, name);
        decodeOne(
          name,
          concatBytes([encodeHeader(definitions[name]?.type ?? 0, payload.byteLength), payload]),
        );
      }
    });
  });
}

test('all that comes before authentication fits into 4 KiB at its largest', () => {
  // OPEN, STANDBY and MIGRATE authenticate a client. A server's ticket 0 comes as SNAPSHOT before SUPPORT.
  for (const name of [
    'challenge',
    'open',
    'support',
    'standby',
    'migrate',
    'accept',
    'refuse',
    'progress',
    'needBody',
  ] as const) {
    assert.ok(sumOf(frames[name].fields, 'maxBytes') <= MAX_UNAUTHENTICATED_FRAME_BYTES, name);
  }
  assert.ok(
    sumOf(frames.snapshot.fields, 'minBytes') + MAX_INLINE_BODY_BYTES <= MAX_UNAUTHENTICATED_FRAME_BYTES,
  );
});

describe('encoding', () => {
  test('refuses a payload over the limit of its frame, which the receiver would not take', () => {
    const bytes = new Uint8Array(MAX_SNAPSHOT_CHUNK_BYTES + 1);
    assert.throws(() => encodeFrame('body', { epoch: 1, offset: 0, bytes }), RangeError);
    assert.throws(
      () => framePayload('ping', new Uint8Array(MAX_UNAUTHENTICATED_FRAME_BYTES + 1)),
      RangeError,
    );
  });

  test('refuses more servers than SUPPORT may name', () => {
    const server = { name: 'a', host: 'b', port: 1 };
    const value = {
      epoch: 1,
      delivery: 0,
      keyShare: new Uint8Array(0),
      nonce: new Uint8Array(0),
      triggerKeyId: new Uint8Array(0),
      triggerKey: new Uint8Array(0),
      otherTriggerKeyId: new Uint8Array(0),
      credit: 0,
      mac: NO_MAC,
    };
    encodeFrame('support', { ...value, servers: new Array(MAX_SERVERS).fill(server) as (typeof server)[] });
    const servers = new Array(MAX_SERVERS + 1).fill(server) as (typeof server)[];
    assert.throws(() => encodeFrame('support', { ...value, servers }), RangeError);
  });

  test('writes a header of type and length, and refuses a length that has no room in it', () => {
    assert.deepEqual(encodeHeader(DATA_TYPE, 0x010203), Uint8Array.of(0x10, 1, 2, 3));
    assert.deepEqual(encodeHeader(0xff, MAX_PAYLOAD_BYTES), Uint8Array.of(0xff, 0xff, 0xff, 0xff));
    for (const length of [-1, MAX_PAYLOAD_BYTES + 1, Number.NaN]) {
      assert.throws(() => encodeHeader(DATA_TYPE, length), RangeError, String(length));
    }
  });
});

describe('a MAC', () => {
  const payload = encodePayload('detach', { epoch: 5, mac: NO_MAC });

  test('takes the place of the zeros it was computed over', () => {
    const mac = new Uint8Array(32).map((_, index) => index + 1);
    const maced = withMac(payload, mac);
    assert.deepEqual(decodePayload('detach', maced), {
      frame: 'detach',
      epoch: 5,
      mac: mac.slice(0, MAC_BYTES),
      payload: maced,
    });
    assert.deepEqual(macedPart(maced), payload.subarray(0, 6));
    assert.deepEqual(macedPart(payload), macedPart(maced));
  });

  test('has its full length, and a payload to follow', () => {
    assert.throws(() => withMac(payload, new Uint8Array(MAC_BYTES - 1)), RangeError);
    assert.throws(() => macedPart(new Uint8Array(MAC_BYTES - 1)), RangeError);
    assert.equal(macedPart(new Uint8Array(MAC_BYTES)).byteLength, 0);
  });
});
