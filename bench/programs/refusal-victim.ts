/** A process that somebody tries something on, again and again: it tells what that cost it. */
import { once } from 'node:events';
import type net from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import tls from 'node:tls';
import { fail, runProgram } from '../harness/program.ts';
import { CERTIFICATE, KEY } from './tls-files.ts';

export type RefusalVictimConfig =
  | { readonly role: 'godwit' }
  /** A server of node:tls, with a key of ECDSA, the cheapest there is. */
  | { readonly role: 'tls' }
  /** A client of Godwit at the attacker's server. */
  | { readonly role: 'client'; readonly port: number };

export interface Cost {
  readonly cpuMs: number;
  /** On the heap of JavaScript and in its buffers. Undefined when memory was collected meanwhile. */
  readonly allocatedBytes: number | undefined;
}

/** What the observer of collections tells comes so late at the most, in milliseconds. */
const OBSERVER_DELAY_MS = 20;

await runProgram(async (config: RefusalVictimConfig) => {
  let collections = 0;
  new PerformanceObserver((list) => (collections += list.getEntries().length)).observe({
    entryTypes: ['gc'],
  });
  const now = (): { cpuMs: number; bytes: number } => {
    const { user, system } = process.cpuUsage();
    const { heapUsed, external } = process.memoryUsage();
    return { cpuMs: (user + system) / 1000, bytes: heapUsed + external };
  };
  let [start, collectionsAtStart] = [now(), 0];
  return {
    ready: config.role === 'client' ? await beClient(config.port) : await listen(config.role),
    calls: {
      begin: async () => {
        // Only where bytes are counted: afterwards much of the code is compiled anew.
        (globalThis as { gc?: () => void }).gc?.();
        // What the observer tells of that collection comes later.
        await new Promise((resolve) => setTimeout(resolve, OBSERVER_DELAY_MS));
        collectionsAtStart = collections;
        start = now();
        return null;
      },
      end: async (): Promise<Cost> => {
        const end = now();
        await new Promise((resolve) => setTimeout(resolve, OBSERVER_DELAY_MS));
        return {
          cpuMs: end.cpuMs - start.cpuMs,
          allocatedBytes: collections === collectionsAtStart ? end.bytes - start.bytes : undefined,
        };
      },
    },
  };
});

async function listen(role: 'godwit' | 'tls'): Promise<number> {
  const server = role === 'tls' ? tls.createServer({ cert: CERTIFICATE, key: KEY }) : await godwitServer();
  server.on('error', fail);
  server.on('tlsClientError', () => undefined);
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 });
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

/** Loaded only by who needs it: a server of node:tls has none of it in its heap. */
async function godwitServer(): Promise<net.Server> {
  const { createServer } = await import('godwit');
  // What limits refuse costs less than what is looked at.
  return createServer({ limits: { maxMigratesPerSecond: 0 } }, (socket) =>
    socket.on('error', () => undefined),
  );
}

async function beClient(port: number): Promise<number> {
  const { connect } = await import('godwit');
  const socket = connect(port, '127.0.0.1');
  socket.on('error', fail).on('data', () => socket.write('handled'));
  await once(socket, 'connect');
  return port;
}
