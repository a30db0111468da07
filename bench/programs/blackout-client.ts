/** A client that reads records and looks at how long nothing comes. Plain net does what it can: it connects elsewhere. */
import { once } from 'node:events';
import net from 'node:net';
import type * as godwit from 'godwit';
import { fail, runProgram } from '../harness/program.ts';
import { watchGaps, type Delivery, type Reader } from './blackout-calls.ts';
import { dialled, type ClientChoices } from './implementation.ts';

await runProgram(async (config: ClientChoices) => ({
  calls: await watchGaps((delivery) =>
    config.implementation === 'net' ? readByNet(config, delivery) : readByGodwit(config, delivery),
  ),
}));

async function readByGodwit(config: ClientChoices, { deliver }: Delivery): Promise<Reader> {
  const socket = (await dialled(config)) as unknown as godwit.Socket;
  socket.on('error', (error) => fail(`the session ended: ${error.message}`));
  socket.on('data', deliver);
  await once(socket, 'data');
  return {
    port: () => socket.currentServer?.port ?? 0,
    resumed: () => socket.isSessionReused?.(),
    migrate: () => socket.migrate(),
    moved: async () => {
      const [report] = (await once(socket, 'migrated')) as [godwit.MigrationReport];
      await once(socket, 'data');
      return report;
    },
  };
}

/** Notices the end, however it comes, and begins anew with the next server at once. */
async function readByNet({ ports }: ClientChoices, { deliver, counter }: Delivery): Promise<Reader> {
  let place = 0;
  let arrived = Promise.withResolvers<undefined>();
  const connect = (): void => {
    const socket = net.connect(ports[place] ?? 0, '127.0.0.1');
    let over = false;
    const goOn = (): void => {
      if (over) return;
      over = true;
      socket.destroy();
      place = (place + 1) % ports.length;
      connect();
    };
    counter.restart();
    socket.on('data', deliver);
    socket.once('data', () => arrived.resolve(undefined));
    socket.on('end', goOn).on('error', goOn).on('close', goOn);
  };
  connect();
  await arrived.promise;
  return {
    port: () => ports[place] ?? 0,
    moved: async () => {
      arrived = Promise.withResolvers<undefined>();
      await arrived.promise;
      return undefined;
    },
  };
}
