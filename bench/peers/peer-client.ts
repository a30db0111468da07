/** The client of a peer. */
import { runProgram } from '../harness/program.ts';
import { watchGaps } from '../programs/blackout-calls.ts';
import { measurePings } from '../programs/pings.ts';
import { RateMeter, type Window } from '../programs/rate-meter.ts';
import { StampCounter } from '../programs/stamps.ts';
import type { PeerClientConfig, PeerName, ReadPeer } from './peer.ts';

const READ: Readonly<Record<PeerName, () => Promise<ReadPeer>>> = {
  http: async () => (await import('./http-range.ts')).readHttp,
  ws: async () => (await import('./websocket.ts')).readWebSocket,
  wsOffsets: async () => (await import('./websocket.ts')).readWebSocket,
  socketio: async () => (await import('./socket-io.ts')).readSocketIo,
  socketioOffsets: async () => (await import('./socket-io.ts')).readSocketIo,
};

await runProgram(async (config: PeerClientConfig) => {
  const read = await READ[config.peer]();
  if (config.work === 'tick') return { calls: await watchGaps((delivery) => read(config, delivery)) };

  let meter: RateMeter | undefined;
  const deliver = (chunk: Buffer): void => meter?.add(chunk.length);
  const reader = await read(config, { deliver, counter: new StampCounter() });
  return {
    calls: {
      rate: (window: Window) => {
        meter = new RateMeter(window);
        return meter.rate;
      },
      pings: ({ bytes, ...window }: Window & { readonly bytes: number }) =>
        measurePings(window, Buffer.alloc(bytes, 'ping'), reader.ask),
    },
  };
});
