/**
 * The services' snapshots, without a network: a service dies at any moment, another starts from its last snapshot with the
 * input behind that, and what comes out altogether is what one service would have sent.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Duplex } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Draw, bytesFromSeed } from './choices.ts';
import { serveFile } from './file-service.ts';
import { serveRecords } from './record-service.ts';
import { RecordReader, RecordWriter } from './records.ts';
import type { ServiceSocket } from './service.ts';
import { TRAILER_BYTES } from './trailer.ts';
import type { Trailer } from './trailer.ts';

const FILE_BYTES = 600_000;
const DEATHS = 12;

/** More than a whole transfer takes. */
const LAST_LIFE_TURNS = 10_000;

interface Snapshot {
  readonly state: Uint8Array | undefined;
  readonly input: number;
  readonly output: number;
}

/** A server's end of a session that starts from a snapshot; offsets count from the session's start. */
class FakeSocket extends Duplex implements ServiceSocket {
  snapshot: Snapshot;
  readonly #state: Uint8Array | undefined;
  readonly #input: Buffer;
  #fed: number;
  #consumed: number;
  #produced: number;
  readonly output: Buffer[] = [];
  #exporter: Parameters<ServiceSocket['onExportState']>[0] | undefined;

  constructor(start: Snapshot, input: Buffer) {
    super({ allowHalfOpen: true, writableHighWaterMark: 100_000 });
    this.snapshot = start;
    this.#state = start.state;
    this.#input = input;
    this.#fed = this.#consumed = start.input;
    this.#produced = start.output;
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'data') this.#consumed += (args[0] as Buffer).length;
    return super.emit(event, ...args);
  }

  override _read(): void {
    const piece = this.#input.subarray(this.#fed, this.#fed + 7000);
    this.#fed += piece.length;
    setImmediate(() => this.push(piece.length > 0 ? piece : null));
  }

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    setImmediate(done);
  }

  override write(chunk: Buffer): boolean {
    // A snapshot covers what was accepted, and takes effect when all of it is on its way.
    this.output.push(chunk);
    this.#produced += chunk.length;
    return super.write(chunk);
  }

  importState<T>(decode: (state: Uint8Array) => T): T | undefined {
    return this.#state === undefined ? undefined : decode(this.#state);
  }

  exportState(state: Uint8Array, { bytesConsumed = this.#consumed }: { bytesConsumed?: number } = {}): void {
    this.snapshot = { state, input: bytesConsumed, output: this.#produced };
  }

  onExportState(answer: Parameters<ServiceSocket['onExportState']>[0]): void {
    this.#exporter = answer;
  }

  /** Asks for a snapshot, as an engine does when one is due. */
  pull(): void {
    const answer = this.#exporter?.();
    if (answer === undefined) return;
    if (answer instanceof Uint8Array) this.exportState(answer);
    else this.exportState(answer.state, answer);
  }
}

describe('a service that dies again and again', () => {
  let folder = '';
  let file = '';
  const content = bytesFromSeed(2, FILE_BYTES);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'godwit-restore-'));
    file = join(folder, 'file.bin');
    writeFileSync(file, content);
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const seed of [1, 2, 3]) {
    test(`replay, seed ${seed}: makes the same output again behind its snapshot`, async () => {
      const output = await liveThrough(seed, content, 'replay', (socket) =>
        serveFile(socket, { file, rate: 0 }),
      );
      assert.ok(output.subarray(0, -TRAILER_BYTES).equals(content));
      const { up } = trailerOf(output);
      assert.equal(up.sha256, createHash('sha256').update(content).digest('hex'));
      assert.deepEqual(up.verdict.incidents, { lost: 0, duplicated: 0, corrupt: 0 });
    });

    test(`commit, seed ${seed}: what was committed fits together though nothing is made twice alike`, async () => {
      const noise = bytesFromSeed(seed, 20_000);
      const writer = new RecordWriter({
        payloadBytes: () => 9000,
        fill: (payload) => payload.set(noise.subarray(0, payload.length)),
      });
      const input = Buffer.concat(Array.from({ length: 60 }, () => writer.next()));
      const output = await liveThrough(seed, input, 'commit', (socket) =>
        serveRecords(socket, { file, rate: 0 }),
      );
      const records = output.subarray(0, -TRAILER_BYTES);
      const { up, down } = trailerOf(output);
      const reader = new RecordReader();
      reader.push(records);
      assert.deepEqual(reader.end(down.bytes).incidents, { lost: 0, duplicated: 0, corrupt: 0 });
      assert.equal(down.sha256, createHash('sha256').update(records).digest('hex'));
      assert.equal(up.sha256, createHash('sha256').update(input).digest('hex'));
      assert.deepEqual(up.verdict.incidents, { lost: 0, duplicated: 0, corrupt: 0 });
    });
  }
});

/** Runs the service until it has ended its output, with deaths on the way; returns what a client has then. */
async function liveThrough(
  seed: number,
  input: Buffer,
  delivery: 'replay' | 'commit',
  serve: (socket: ServiceSocket) => void,
): Promise<Buffer> {
  const draw = new Draw(seed);
  let snapshot: Snapshot = { state: undefined, input: 0, output: 0 };
  let client = Buffer.alloc(0);
  for (let life = 0; ; life++) {
    const start = snapshot;
    const socket = new FakeSocket(start, input);
    serve(socket);
    for (
      let left = life < DEATHS ? 1 + draw.below(14) : LAST_LIFE_TURNS;
      left > 0 && !socket.writableFinished;
      left--
    ) {
      await turn();
      if (draw.below(4) === 0) socket.pull();
    }
    snapshot = socket.snapshot;
    const output = Buffer.concat(socket.output);
    const finished = socket.writableFinished;
    assert.ok(finished || life < DEATHS, 'it never ends');
    socket.destroy();
    await turn();

    // A client of `replay` has whatever was sent, a client of `commit` what a snapshot covers.
    const sent =
      delivery === 'replay' || finished ? output : output.subarray(0, snapshot.output - start.output);
    const known = client.subarray(start.output, start.output + sent.length);
    if (delivery === 'replay') assert.ok(known.equals(sent.subarray(0, known.length)), 'it diverges');
    if (start.output + sent.length > client.length)
      client = Buffer.concat([client.subarray(0, start.output), sent]);
    if (finished) return client;
  }
}

function trailerOf(output: Buffer): Trailer {
  return JSON.parse(output.subarray(-TRAILER_BYTES).toString()) as Trailer;
}
