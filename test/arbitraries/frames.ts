/** Arbitrary values of every frame, made from what the fields say of themselves. */
import fc from 'fast-check';
import {
  encodeFrame,
  encodePeerFrame,
  frames,
  peerFrames,
  type FrameName,
  type FrameValue,
  type PeerFrameName,
  type PeerFrameValue,
} from '../../packages/godwit/src/wire/index.ts';
import type { Fields, Shape, StructValue } from '../../packages/godwit/src/wire/schema.ts';

export const FRAME_NAMES = Object.keys(frames) as FrameName[];
export const PEER_FRAME_NAMES = Object.keys(peerFrames) as PeerFrameName[];

/** A frame with the bytes it is encoded as. */
export interface Encoded {
  readonly name: string;
  readonly value: object;
  readonly bytes: Uint8Array;
}

/** Any frame that `sender` may send. */
export function frameFrom(sender: 'client' | 'server'): fc.Arbitrary<Encoded> {
  return fc.oneof(
    ...FRAME_NAMES.filter((name) => [sender, 'both'].includes(frames[name].from)).map((name) =>
      frameOf(name),
    ),
  );
}

export function frameOf<N extends FrameName>(name: N): fc.Arbitrary<Encoded> {
  return struct(frames[name].fields).map((value) => ({
    name,
    value,
    bytes: encodeFrame(name, value as FrameValue<N>),
  }));
}

export function peerFrameOf<N extends PeerFrameName>(name: N): fc.Arbitrary<Encoded> {
  return struct(peerFrames[name].fields).map((value) => ({
    name,
    value,
    bytes: encodePeerFrame(name, value as PeerFrameValue<N>),
  }));
}

export function anyPeerFrame(): fc.Arbitrary<Encoded> {
  return fc.oneof(...PEER_FRAME_NAMES.map((name) => peerFrameOf(name)));
}

export function struct<S extends Fields>(fields: S): fc.Arbitrary<StructValue<S>> {
  const arbitraries = Object.entries(fields).map(([name, field]) => [name, fieldOf(field.shape)] as const);
  return fc.record(Object.fromEntries(arbitraries), { noNullPrototype: true }) as fc.Arbitrary<
    StructValue<S>
  >;
}

/** The value that takes the most bytes; `restBytes` for what only the frame's limit bounds. */
export function largest<S extends Fields>(fields: S, restBytes: number): StructValue<S> {
  const entries = Object.entries(fields).map(
    ([name, field]) => [name, largestOf(field.shape, restBytes)] as const,
  );
  return Object.fromEntries(entries) as StructValue<S>;
}

function fieldOf(shape: Shape): fc.Arbitrary<unknown> {
  switch (shape.kind) {
    case 'integer':
      return fc.oneof(fc.integer({ min: 0, max: shape.max }), fc.constantFrom(0, shape.max));
    case 'choice':
      return fc.constantFrom(...shape.values);
    case 'flag':
      return fc.boolean();
    case 'fixed':
      return fc.uint8Array({ minLength: shape.length, maxLength: shape.length });
    case 'bytes':
      return fc.oneof(
        fc.uint8Array({ maxLength: shape.max, size: 'small' }),
        fc.constant(largestOf(shape, 0)),
      );
    case 'text':
      return fc.oneof(
        fc.string({ unit: 'binary', maxLength: Math.floor(shape.max / 4) }),
        fc.constantFrom('\ufeffa byte order mark', 'x'.repeat(shape.max)),
      );
    case 'rest':
      return fc.uint8Array({ maxLength: 200, size: 'medium' });
    case 'list':
      return fc.array(struct(shape.fields), { maxLength: Math.min(shape.max, 5) });
  }
}

function largestOf(shape: Shape, restBytes: number): unknown {
  switch (shape.kind) {
    case 'integer':
      return shape.max;
    case 'choice':
      return Math.max(...shape.values);
    case 'flag':
      return true;
    case 'fixed':
      return new Uint8Array(shape.length).fill(0xff);
    case 'bytes':
      return new Uint8Array(shape.max).fill(0xff);
    case 'text':
      return 'x'.repeat(shape.max);
    case 'rest':
      return new Uint8Array(restBytes).fill(0xff);
    case 'list':
      return Array.from({ length: shape.max }, () => largest(shape.fields, 0));
  }
}
