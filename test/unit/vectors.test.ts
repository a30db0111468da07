/** The committed test vectors: what is on the wire today stays so until someone means to change it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import {
  FrameDecoder,
  decodePreface,
  encodeFrame,
  encodePeerFrame,
  encodePreface,
  frames,
  fromHex,
  peerFrames,
  toHex,
} from '../../packages/godwit/src/wire/index.ts';
import type { FrameName, PeerFrameName } from '../../packages/godwit/src/wire/index.ts';
import { VECTORS_PATH, fromJson, makeVectors, renderVectors } from '../../scripts/vectors.ts';
import type { Vector, Vectors } from '../../scripts/vectors.ts';

const text = readFileSync(VECTORS_PATH, 'utf8');
const vectors = JSON.parse(text) as Vectors;

test('the vectors are what scripts/vectors.ts makes', () => {
  assert.equal(text, renderVectors(makeVectors()));
});

test('there are vectors of every frame', () => {
  const named = (from: (sender: string) => boolean): string[] =>
    [...new Set(vectors.frames.filter((vector) => from(vector.from)).map(({ frame }) => frame))].sort();
  assert.deepEqual(
    named((sender) => sender !== 'peer'),
    Object.keys(frames).sort(),
  );
  assert.deepEqual(
    named((sender) => sender === 'peer'),
    Object.keys(peerFrames).sort(),
  );
});

for (const { name, role, hex } of vectors.prefaces) {
  test(`the preface ${name} is ${hex}`, () => {
    assert.equal(decodePreface(fromHex(hex)).role, role);
    assert.equal(toHex(encodePreface(role as 0 | 1)), hex);
  });
}

for (const from of ['client', 'server', 'peer'] as const) {
  describe(`bytes from a ${from} are the frame that the vector says, and the frame those bytes`, () => {
    for (const vector of vectors.frames.filter((candidate) => candidate.from === from)) {
      test(`${vector.frame}: ${vector.name}`, () => {
        const bytes = fromHex(vector.hex);
        const value = fromJson(vector.value) as object;
        assert.deepEqual(decode(vector, bytes), { ...value, frame: vector.frame, payload: bytes.slice(4) });
        assert.equal(toHex(encode(vector, value)), vector.hex);
      });
    }
  });
}

function decode({ from }: Vector, bytes: Uint8Array): unknown {
  const decoder = from === 'peer' ? FrameDecoder.forPeerLink() : FrameDecoder.forCarrier(from);
  decoder.push(bytes);
  const frame = decoder.next();
  assert.equal(decoder.next(), undefined);
  return frame;
}

function encode({ from, frame }: Vector, value: object): Uint8Array {
  return from === 'peer'
    ? encodePeerFrame(frame as PeerFrameName, value as never)
    : encodeFrame(frame as FrameName, value as never);
}
