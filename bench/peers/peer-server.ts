/** The server of a peer. */
import { runProgram } from '../harness/program.ts';
import type { PeerName, PeerServerConfig, ServePeer } from './peer.ts';

/** Loaded one at a time: what is measured has nothing of the others in it. */
const SERVE: Readonly<Record<PeerName, () => Promise<ServePeer>>> = {
  http: async () => (await import('./http-range.ts')).serveHttp,
  ws: async () => (await import('./websocket.ts')).serveWebSocket,
  wsOffsets: async () => (await import('./websocket.ts')).serveWebSocket,
  socketio: async () => (await import('./socket-io.ts')).serveSocketIo,
  socketioOffsets: async () => (await import('./socket-io.ts')).serveSocketIo,
};

await runProgram(async (config: PeerServerConfig) => {
  const serve = await SERVE[config.peer]();
  return { ready: await serve(config), calls: {} };
});
