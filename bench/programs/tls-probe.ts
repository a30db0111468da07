/** Finds out whether Godwit has a TLS carrier: whether a server that was given a certificate speaks TLS. */
import tls from 'node:tls';
import { runProgram } from '../harness/program.ts';
import { listen } from './implementation.ts';
import { CERTIFICATE, TLS_SERVER_NAME } from './tls-files.ts';

const TIMEOUT_MS = 2_000;

await runProgram(async () => {
  const { port } = await listen({ implementation: 'godwit', tls: true }, (socket) => socket.resume());
  return { ready: await speaksTls(port), calls: {} };
});

function speaksTls(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const options = {
    host: '127.0.0.1',
    port,
    ca: CERTIFICATE,
    servername: TLS_SERVER_NAME,
    ALPNProtocols: ['godwit/1'],
    timeout: TIMEOUT_MS,
  };
  const socket = tls.connect(options, () => resolve(true));
  socket.on('error', () => resolve(false)).on('close', () => resolve(false));
  socket.on('timeout', () => socket.destroy());
  return promise.finally(() => socket.destroy());
}
