/**
 * The client of both services: sends and receives at the same time over one socket, and checks what comes. It is written
 * as for `node:net`: nothing in here knows that the socket's other end moves.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { Draw, bytesFromSeed } from './choices.ts';
import { NO_FAULTS, StreamComparer, addVerdicts } from './comparer.ts';
import type { Verdict } from './comparer.ts';
import { Pacer, TICK_MS } from './pacer.ts';
import { PAYLOAD_MAX_BYTES, RecordReader, RecordWriter } from './records.ts';
import { FileSource } from './source.ts';
import type { Source } from './source.ts';
import { TrailerSplitter } from './trailer.ts';

export type Delivery = 'replay' | 'commit';

export interface TransferOptions {
  readonly delivery: Delivery;
  /** The file that comes; with records, only its length counts. */
  readonly file: string;
  /** The file that goes; with records, only its length counts. Default: the one that comes. */
  readonly upload?: string;
  /** For the content of the client's records. */
  readonly seed: number;
  /** Megabytes a second; 0: no limit. */
  readonly rate: number;
  /** After each piece, with the bytes delivered and the bytes sent so far. */
  readonly onProgress: (down: number, up: number) => void;
}

/** One direction: bytes that arrived, what was wrong with them, and their hash at both ends. */
export interface DirectionResult {
  readonly bytes: number;
  readonly verdict: Verdict;
  readonly sha256: { readonly sent: string; readonly received: string };
}

export interface TransferResult {
  readonly down: DirectionResult;
  readonly up: DirectionResult;
}

/** Resolves when both directions have ended. Rejects with the socket's error. */
export async function transfer(socket: Duplex, options: TransferOptions): Promise<TransferResult> {
  const source = new FileSource(options.file);
  const uploaded = new FileSource(options.upload ?? options.file);
  const upHash = createHash('sha256');
  const downHash = createHash('sha256');
  const check = options.delivery === 'replay' ? fileCheck(source) : recordCheck();
  const splitter = new TrailerSplitter();
  let delivered = 0;
  let received = 0;
  let sent = 0;

  const pieces = options.delivery === 'replay' ? filePieces(uploaded) : seededRecords(uploaded, options.seed);
  const upload = Readable.from(paced(pieces, options.rate));
  upload.on('data', (piece: Buffer) => {
    upHash.update(piece);
    sent += piece.length;
    options.onProgress(delivered, sent);
  });
  upload.on('error', (error) => socket.destroy(error));
  upload.pipe(socket);

  socket.on('data', (chunk: Buffer) => {
    for (const piece of splitter.push(chunk)) {
      downHash.update(piece);
      check.push(piece);
      received += piece.length;
    }
    delivered += chunk.length;
    options.onProgress(delivered, sent);
  });

  try {
    await finished(socket);
    const trailer = splitter.end();
    const upSha256 = upHash.digest('hex');
    // A file is at hand here too, so its service does not hash it.
    const downSha256 = trailer.down.sha256 ?? (options.upload === undefined ? upSha256 : sha256Of(source));
    const missing = { ...NO_FAULTS, lost: Math.max(0, sent - trailer.up.position) };
    return {
      down: {
        bytes: received,
        verdict: check.end(trailer.down.bytes),
        sha256: { sent: downSha256, received: downHash.digest('hex') },
      },
      up: {
        bytes: trailer.up.bytes,
        verdict: addVerdicts(trailer.up.verdict, missing),
        sha256: { sent: upSha256, received: trailer.up.sha256 },
      },
    };
  } finally {
    upload.destroy();
    source.close();
    uploaded.close();
  }
}

function sha256Of(source: Source): string {
  const hash = createHash('sha256');
  const step = 1024 * 1024;
  for (let at = 0; at < source.length; at += step) hash.update(source.read(at, step));
  return hash.digest('hex');
}

/** Something that judges what arrives. */
interface Check {
  push(piece: Buffer): void;
  end(sentBytes: number): Verdict;
}

function fileCheck(source: Source): Check {
  const comparer = new StreamComparer(source);
  return { push: (piece) => comparer.push(piece), end: () => comparer.end() };
}

function recordCheck(): Check {
  const reader = new RecordReader();
  return { push: (piece) => void reader.push(piece), end: (sentBytes) => reader.end(sentBytes) };
}

/** Gives the next piece of what is to be sent, of about the given length at the most; undefined at the end. */
type Pieces = (allowance: number) => Buffer | undefined;

function filePieces(source: Source): Pieces {
  let offset = 0;
  return (allowance) => {
    const piece = Buffer.from(source.read(offset, allowance));
    offset += piece.length;
    return piece.length === 0 ? undefined : piece;
  };
}

function seededRecords(source: Source, seed: number): Pieces {
  const draw = new Draw(seed);
  const noise = bytesFromSeed(seed, 16 * PAYLOAD_MAX_BYTES);
  const writer = new RecordWriter({
    payloadBytes: () => 1 + draw.below(PAYLOAD_MAX_BYTES),
    fill: (payload) =>
      payload.set(noise.subarray(draw.below(15 * PAYLOAD_MAX_BYTES)).subarray(0, payload.length)),
  });
  return () => (writer.position.offset < source.length ? writer.next() : undefined);
}

async function* paced(pieces: Pieces, rate: number): AsyncGenerator<Buffer> {
  const pacer = new Pacer({ megabytesPerSecond: rate });
  while (true) {
    const { allowance } = pacer;
    if (allowance === 0) {
      await wait(TICK_MS);
      continue;
    }
    const piece = pieces(allowance);
    if (piece === undefined) return;
    pacer.spend(piece.length);
    yield piece;
  }
}
