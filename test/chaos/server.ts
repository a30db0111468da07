/** One server of a chaos run: every service, in one process. */
import { once } from 'node:events';
import { createServer } from 'godwit';
import type { Server, ServerSocket } from 'godwit';
import { serveFile } from '../../packages/cli/src/demo/file-service.ts';
import { KEY_VARIABLE } from '../../packages/cli/src/demo/messages.ts';
import { chance, serveRecords } from '../../packages/cli/src/demo/record-service.ts';
import type { ServiceOptions } from '../../packages/cli/src/demo/service.ts';
import { warmUp } from '../../packages/cli/src/demo/warm-up.ts';
import { EffectStore } from './effect-store.ts';
import { logSince } from './log.ts';
import { SERVICES } from './messages.ts';
import type { ServerCommand, ServerConfig, ServerMessage, Service } from './messages.ts';
import { serveRequests } from './request-service.ts';
import type { RequestServiceOptions } from './request-service.ts';
import { watchForSpinning } from './spin-watch.ts';

/** Damage that a test of the harness plants, and that the run has to find. */
export interface Tampering {
  readonly output?: ServiceOptions['tamper'];
  readonly effects?: RequestServiceOptions['tamper'];
}

/** Takes its settings from the command line and the environment, and its orders from the parent process. */
export async function runServer(tampering: Tampering = {}): Promise<void> {
  const config = JSON.parse(process.argv[2] ?? '') as ServerConfig;
  const keys = [Buffer.from(process.env[KEY_VARIABLE] ?? '', 'hex')];
  const log = logSince(config.startedMs);
  const store = new EffectStore(config.database);
  watchForSpinning();
  warmUp(chance);

  const serve = (service: Service, socket: ServerSocket): void => {
    const what = `${service.name} ${socket.sessionId}`;
    log(
      `${what}: ${socket.restored ? `restored from ${socket.snapshotNumber}` : 'new'}, epoch ${socket.epoch}`,
    );
    socket.on('error', (error) => log(`${what}: ${error.message}`));
    socket.on('close', () => log(`${what}: closed, epoch ${socket.epoch}`));
    if (service.kind === 'requests') {
      serveRequests(socket, {
        store,
        name: config.name,
        delivery: service.delivery,
        onApplied: (outcome) => {
          tell({ type: 'applied', outcome });
          if (outcome === 'fenced') log(`${what}: refused by the fence, epoch ${socket.epoch}`);
        },
        tamper: tampering.effects,
      });
      return;
    }
    const { file, nothing } = config;
    const serveTransfer = service.delivery === 'replay' ? serveFile : serveRecords;
    serveTransfer(socket, {
      file: service.kind === 'down' ? file : nothing,
      upload: service.kind === 'down' ? nothing : file,
      rate: 0,
      ...(tampering.output && { tamper: tampering.output }),
    });
  };

  const start = (service: Service): Server => {
    const { name: serviceName, port, delivery } = service;
    const members = config.servers.map(({ name, host }) => ({ name, host, port }));
    return createServer(
      { name: config.name, service: serviceName, members, delivery, keys, allowHalfOpen: true },
      (socket) => serve(service, socket),
    ).listen(port, config.host);
  };
  const servers = SERVICES.map(start);
  await Promise.all(servers.map((server) => once(server, 'listening')));
  log(`${config.name} listens, process ${process.pid}`);
  tell({ type: 'ready' });

  process.on('message', (_command: ServerCommand) => {
    log('drain');
    Promise.all(servers.map((server) => server.drain())).then(
      (moved) => tell({ type: 'drained', moved: moved.reduce((sum, count) => sum + count, 0) }),
      (error: unknown) => tell({ type: 'failed', message: `drain: ${(error as Error).message}` }),
    );
  });
  // Without its parent, a server of the run has no reason to be.
  process.on('disconnect', () => process.exit());
}

function tell(message: ServerMessage): void {
  if (process.connected) process.send?.(message);
}
