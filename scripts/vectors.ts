/**
 * Writes test/vectors/frames.json: frames and the bytes they are, for this implementation to stay what it is and for
 * others to be tested against. `node scripts/vectors.ts` writes, `--check` compares.
 */
import {
  Role,
  encodeFrame,
  encodePeerFrame,
  encodePreface,
  frames,
  fromHex,
  peerFrames,
  toHex,
} from '../packages/godwit/src/wire/index.ts';
import type { FrameDefinition, FrameName, PeerFrameName } from '../packages/godwit/src/wire/index.ts';
import type { Fields, Shape } from '../packages/godwit/src/wire/schema.ts';
import { pathOf, writeOrCheck } from './generated-file.ts';

export const VECTORS_PATH = pathOf('test', 'vectors', 'frames.json');

export interface Vector {
  /** What is special about the value. */
  readonly name: string;
  readonly frame: string;
  readonly from: 'client' | 'server' | 'peer';
  /** The whole frame, header included. */
  readonly hex: string;
  /** Bytes are `{ "hex": … }`. */
  readonly value: unknown;
}

export interface Vectors {
  readonly prefaces: readonly { readonly name: string; readonly role: number; readonly hex: string }[];
  readonly frames: readonly Vector[];
}

export function makeVectors(): Vectors {
  const vectors: Vector[] = [];
  for (const { name, sample } of SAMPLES) {
    for (const frame of Object.keys(frames) as FrameName[]) {
      const { from, fields } = frames[frame] as FrameDefinition;
      const value = sampleOf(fields, sample());
      const hex = toHex(encodeFrame(frame, value as never));
      vectors.push({ name, frame, from: from === 'server' ? 'server' : 'client', hex, value: toJson(value) });
    }
    for (const frame of Object.keys(peerFrames) as PeerFrameName[]) {
      const value = sampleOf(peerFrames[frame].fields, sample());
      const hex = toHex(encodePeerFrame(frame, value as never));
      vectors.push({ name, frame, from: 'peer', hex, value: toJson(value) });
    }
  }
  const prefaces = [
    { name: 'of a client', role: Role.Client, hex: toHex(encodePreface(Role.Client)) },
    { name: 'of a server that links to another', role: Role.Peer, hex: toHex(encodePreface(Role.Peer)) },
  ];
  return { prefaces, frames: vectors };
}

/** One vector a line: a change of the format then shows as the lines it changes. */
export function renderVectors(vectors: Vectors): string {
  const lines = (items: readonly unknown[]): string =>
    items.map((item) => `    ${JSON.stringify(item)}`).join(',\n');
  return `{\n  "prefaces": [\n${lines(vectors.prefaces)}\n  ],\n  "frames": [\n${lines(vectors.frames)}\n  ]\n}\n`;
}

export function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: toHex(value) };
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, toJson(field)]));
}

/** Inverse of `toJson`. */
export function fromJson(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(fromJson);
  if (typeof json !== 'object' || json === null) return json;
  if ('hex' in json && typeof json.hex === 'string') return fromHex(json.hex);
  return Object.fromEntries(Object.entries(json).map(([name, field]) => [name, fromJson(field)]));
}

/** Makes the value of one field of that name. */
type Sample = (name: string, shape: Shape) => unknown;

const SAMPLES: readonly { readonly name: string; readonly sample: () => Sample }[] = [
  { name: 'zeros, and nothing of what may be empty', sample: () => sampleZero },
  { name: 'bytes that count up from 1, and texts that name their field', sample: countingSample },
  { name: 'the highest numbers, and texts beyond ASCII', sample: () => sampleHighest },
];

function sampleOf(fields: Fields, sample: Sample): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, { shape }]) => [name, sample(name, shape)]));
}

function sampleZero(_name: string, shape: Shape): unknown {
  switch (shape.kind) {
    case 'integer':
      return 0;
    case 'choice':
      return shape.values[0];
    case 'flag':
      return false;
    case 'fixed':
      return new Uint8Array(shape.length);
    case 'bytes':
    case 'rest':
      return new Uint8Array(0);
    case 'text':
      return '';
    case 'list':
      return [];
  }
}

/** Fields and their places are then easy to make out in the hexadecimal. */
function countingSample(): Sample {
  let count = 0;
  const countUp = (length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i += 1) bytes[i] = count = (count % 255) + 1;
    return bytes;
  };
  const sample: Sample = (name, shape) => {
    switch (shape.kind) {
      case 'integer':
        // Numbers of 64 bits go up to 2^53 − 1: six bytes of them are counted.
        return countUp(Math.min(6, Math.ceil(Math.log2(shape.max + 1) / 8))).reduce(
          (sum, byte) => sum * 256 + byte,
          0,
        );
      case 'choice':
        return shape.values.at(-1);
      case 'flag':
        return true;
      case 'fixed':
        return countUp(shape.length);
      case 'bytes':
        return countUp(Math.min(shape.max, 32));
      case 'rest':
        return countUp(5);
      case 'text':
        return name;
      case 'list':
        return [sampleOf(shape.fields, sample), sampleOf(shape.fields, sample)];
    }
  };
  return sample;
}

function sampleHighest(_name: string, shape: Shape): unknown {
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
    case 'rest':
      return new Uint8Array(1).fill(0xff);
    case 'text':
      return 'Pfuhlschnepfe 斑尾塍鷸 \u{1f426}';
    case 'list':
      return [sampleOf(shape.fields, sampleHighest)];
  }
}

if (import.meta.main) {
  process.exitCode = writeOrCheck(VECTORS_PATH, renderVectors(makeVectors()), 'scripts/vectors.ts');
}
