/** Bytes of all sorts to the decoders, whole and in pieces: the preface, carriers both ways, peer links. */
import {
  FrameDecoder,
  MAX_CONTROL_BYTES,
  MAX_UNAUTHENTICATED_FRAME_BYTES,
  PREFACE_BYTES,
  ProtocolError,
  WireCode,
  decodePreface,
  encodeFrame,
  encodeHeader,
  encodePeerFrame,
  encodePreface,
  equalBytes,
  frames,
  mayBePreface,
  peerFrames,
  type DataPiece,
  type Frame,
  type FrameDefinition,
  type PeerFrame,
} from '../../../packages/godwit/src/wire/index.ts';
import { runtime } from '../instrument/runtime.ts';
import type { Script } from '../engine/script.ts';
import { hold, type ScriptTarget } from '../engine/target.ts';
import { Directives, buildFrame, buildPayload } from './directives.ts';

type AnyFrame = Frame | DataPiece | PeerFrame;
type Decoder = FrameDecoder<AnyFrame>;

const CARRIER: readonly FrameDefinition[] = Object.values(frames);
const PEER: readonly FrameDefinition[] = Object.values(peerFrames);

/** Bytes, and the places in them at which the sender is authenticated. */
interface Stream {
  readonly from: 'client' | 'server' | 'peer';
  readonly sections: Uint8Array[];
  /** Sizes of pieces, over and over. */
  pieces: readonly number[];
}

/** What comes out of a decoder, in words: frames, data joined, and the error that ends it. */
interface Decoded {
  readonly words: readonly string[];
  readonly error: string | undefined;
}

export const decoder: ScriptTarget = {
  kind: 'script',
  name: 'decoder',
  summary: 'bytes and damaged frames to the frame decoders, in pieces of every size',
  operations: ['frame', 'frame', 'frame', 'data', 'raw', 'proof', 'sender', 'pieces', 'preface'],
  seeds: () => [
    ...CARRIER.map((_, index) => [step('sender', 1), step('frame', index), step('pieces', 1)]),
    ...CARRIER.map((_, index) => [step('sender', 0), step('proof'), step('frame', index)]),
    ...PEER.map((_, index) => [step('sender', 2), step('frame', index), step('pieces', 3, 1)]),
    // A CHALLENGE whose server has a name that is no text.
    [step('sender', 1), step('raw', 1, 0, 0, 20, 1, ...new Uint8Array(16), 0, 1, 0xff)],
    [step('preface'), step('data', 0, 9, 9), step('raw', 0x80, 0, 0, 1, 7)],
    // One frame more than may come to nothing, before a proof and behind one.
    ...[[], [step('proof')]].map((proof) => [
      ...proof,
      ...new Array<Script[number]>(9).fill(step('raw', 0xfe, 0, 0, 0, 0x10, 0, 0, 0)),
      step('pieces', 1),
    ]),
  ],
  run: (script) => {
    const stream = streamOf(script);
    const bytes = stream.sections.reduce((sum, section) => sum + section.byteLength, 0);
    runtime.allocatedBytes = 0;
    const whole = decode(stream, [Infinity]);
    // Frames are copied once, and their fields once more; each item of a list is an object of its own.
    const allowed = 2 * MAX_CONTROL_BYTES + 16 * bytes;
    hold('bounded memory', runtime.allocatedBytes <= allowed, () => {
      return `${runtime.allocatedBytes} bytes were allocated for ${bytes} bytes that came`;
    });
    for (const pieces of [[1], stream.pieces]) {
      const again = decode(stream, pieces);
      hold('faithful', JSON.stringify(again) === JSON.stringify(whole), () => {
        return `in pieces of ${pieces.join()}: ${JSON.stringify(again)}\nas a whole: ${JSON.stringify(whole)}`;
      });
    }
  },
};

function step(op: string, ...bytes: number[]): Script[number] {
  return { op, bytes: Uint8Array.from(bytes) };
}

function streamOf(script: Script): Stream {
  let from: Stream['from'] = 'client';
  let pieces: number[] = [7];
  const sections: Uint8Array[] = [];
  let section: number[] = [];
  for (const { op, bytes } of script) {
    const directives = new Directives(bytes);
    switch (op) {
      case 'sender':
        from = directives.pick(['client', 'server', 'peer'] as const);
        break;
      case 'frame': {
        const definition = directives.pick(from === 'peer' ? PEER : CARRIER);
        if (definition.fields === undefined) break;
        section.push(...buildFrame(definition, buildPayload(definition.fields, {}, directives), directives));
        break;
      }
      case 'data': {
        const length = directives.u16();
        section.push(...encodeHeader(0x10, length), ...new Uint8Array(Math.min(length, directives.u8() * 2)));
        break;
      }
      case 'raw':
        section.push(...bytes);
        break;
      case 'proof':
        sections.push(Uint8Array.from(section));
        section = [];
        break;
      case 'pieces':
        if (bytes.byteLength > 0) pieces = [...bytes].map((size) => size + 1);
        break;
      case 'preface':
        checkPreface(bytes);
        break;
      default:
    }
  }
  sections.push(Uint8Array.from(section));
  return { from, sections, pieces };
}

function makeDecoder(from: Stream['from']): Decoder {
  if (from === 'peer') return FrameDecoder.forPeerLink();
  return FrameDecoder.forCarrier(from);
}

function decode({ from, sections }: Stream, pieces: readonly number[]): Decoded {
  const decoder = makeDecoder(from);
  const words: string[] = [];
  let data = '';
  let isAuthenticated = from === 'peer';
  let piece = 0;
  const note = (frame: AnyFrame): void => {
    if (frame.frame === 'data') {
      data += hex(frame.bytes);
      return;
    }
    if (data !== '') words.push(`data ${data}`);
    data = '';
    words.push(`${frame.frame} ${hex(frame.payload)}`);
    checkCanonical(from, frame);
  };
  for (const [index, section] of sections.entries()) {
    if (index > 0) {
      decoder.setAuthenticated();
      isAuthenticated = true;
    }
    for (let at = 0; at < section.byteLength; piece += 1) {
      const size = pieces[piece % pieces.length] as number;
      decoder.push(section.subarray(at, at + size));
      at += size;
      const error = drain(decoder, note);
      if (error !== undefined) {
        if (data !== '') words.push(`data ${data}`);
        return { words, error };
      }
      const limit = isAuthenticated ? MAX_CONTROL_BYTES : MAX_UNAUTHENTICATED_FRAME_BYTES;
      hold('bounded memory', decoder.bufferedBytes <= limit, () => {
        return `a decoder keeps ${decoder.bufferedBytes} bytes, of at most ${limit}`;
      });
    }
  }
  if (data !== '') words.push(`data ${data}`);
  return { words, error: undefined };
}

/** Takes all frames there are; answers the error that ends the decoder, which must be final. */
function drain(decoder: Decoder, note: (frame: AnyFrame) => void): string | undefined {
  try {
    for (let frame = decoder.next(); frame; frame = decoder.next()) note(frame);
    return undefined;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const { wireCode, code } = error;
    const isExpected = wireCode === WireCode.Protocol || wireCode === WireCode.LimitExceeded;
    hold('no crash', isExpected, () => `a decoder fails with ${code}`);
    decoder.push(Uint8Array.of(1, 2, 3));
    hold('bounded memory', decoder.bufferedBytes === 0, () => 'a decoder that failed keeps bytes');
    hold('faithful', failureOf(decoder) === error, () => 'a decoder that failed goes on');
    return error.message;
  }
}

function failureOf(decoder: Decoder): unknown {
  try {
    return decoder.next();
  } catch (error) {
    return error;
  }
}

/** What was decoded is encoded as the very bytes it came in: there is one way to say a thing. */
function checkCanonical(from: Stream['from'], frame: Frame | PeerFrame): void {
  const encoded =
    from === 'peer'
      ? encodePeerFrame(frame.frame as PeerFrame['frame'], frame as never)
      : encodeFrame(frame.frame as Frame['frame'], frame as never);
  hold('faithful', equalBytes(encoded.subarray(4), frame.payload), () => {
    return `${frame.frame} came as ${hex(frame.payload)} and is encoded as ${hex(encoded.subarray(4))}`;
  });
}

/** The bytes replace those of a good preface, from an offset on. */
function checkPreface(change: Uint8Array): void {
  const bytes = Uint8Array.from(encodePreface(0));
  bytes.set(
    change.subarray(1, 1 + PREFACE_BYTES - ((change[0] ?? 0) % PREFACE_BYTES)),
    (change[0] ?? 0) % PREFACE_BYTES,
  );
  const isStranger = !mayBePreface(bytes);
  for (let length = 0; length <= bytes.byteLength; length += 1) {
    const may = mayBePreface(bytes.subarray(0, length));
    hold('faithful', may || isStranger, () => 'the beginning of a preface is taken for a stranger');
  }
  try {
    const { version, minVersion, role } = decodePreface(bytes);
    hold('faithful', !isStranger && version === 1 && minVersion === 1 && role <= 1 && bytes[11] === 0, () => {
      return `${hex(bytes)} is taken for a preface`;
    });
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  }
}

/** That of the library is counted, and would be most of the work. */
function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
