/**
 * The service of `--delivery replay`: sends a file, and at the same time receives one and compares and hashes it. What it
 * sends depends on the file and on the input alone, so that another server can make the same output again from a snapshot.
 */
import { StreamComparer } from './comparer.ts';
import type { ComparerState } from './comparer.ts';
import { Pacer } from './pacer.ts';
import { FREE_BYTES, decodeState, encodeState, writePaced } from './service.ts';
import type { ServiceOptions, ServiceSocket } from './service.ts';
import { Sha256 } from './sha256.ts';
import { FileSource } from './source.ts';
import { encodeTrailer } from './trailer.ts';

/** All of the service, between any two events: about 500 bytes. */
interface State {
  /** Bytes of the file sent. */
  readonly sent: number;
  readonly trailerSent: boolean;
  readonly inputEnded: boolean;
  /** Base64. */
  readonly hash: string;
  readonly comparer: ComparerState;
}

export function serveFile(
  socket: ServiceSocket,
  { file, upload = file, rate, tamper }: ServiceOptions,
): void {
  const state = socket.importState(decodeState<State>);
  const source = new FileSource(file);
  const expected = new FileSource(upload);
  const hash = state === undefined ? new Sha256() : Sha256.fromState(Buffer.from(state.hash, 'base64'));
  const comparer = new StreamComparer(expected, state?.comparer);
  let { sent, trailerSent, inputEnded } = state ?? { sent: 0, trailerSent: false, inputEnded: false };

  socket.onExportState(() =>
    encodeState({
      sent,
      trailerSent,
      inputEnded,
      hash: Buffer.from(hash.exportState()).toString('base64'),
      comparer: comparer.exportState(),
    } satisfies State),
  );
  socket.on('close', () => {
    source.close();
    expected.close();
  });
  socket.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    comparer.push(chunk);
  });
  socket.on('end', () => {
    inputEnded = true;
    finish();
  });

  const pacer = new Pacer({ megabytesPerSecond: rate, freeBytes: state === undefined ? 0 : FREE_BYTES });
  void writePaced(socket, pacer, (allowance) => {
    const piece = Buffer.from(source.read(sent, allowance));
    const at = sent;
    sent += piece.length;
    if (piece.length > 0) socket.write(tamper === undefined ? piece : tamper(piece, at));
    return piece.length;
  }).then(finish);

  /** Both directions have to be through before the service reports. */
  function finish(): void {
    if (!inputEnded || sent < source.length || socket.destroyed || socket.writableEnded) return;
    if (!trailerSent) {
      trailerSent = true;
      const up = { bytes: hash.length, sha256: hash.digest(), verdict: comparer.end() };
      socket.write(encodeTrailer({ up: { ...up, position: expected.length }, down: { bytes: sent } }));
    }
    socket.end();
  }
}
