/** One server of the demo or the soak: what runs in a server process. */
import { createServer } from 'godwit';
import { serveFile } from './file-service.ts';
import { KEY_VARIABLE } from './messages.ts';
import type { ServerCommand, ServerConfig, ServerMessage } from './messages.ts';
import { chance, serveRecords } from './record-service.ts';
import type { ServiceOptions } from './service.ts';
import { warmUp } from './warm-up.ts';

/** Takes its settings from the command line and the environment, and its orders from the parent process. */
export function runServer(tamper?: ServiceOptions['tamper']): void {
  const config = JSON.parse(process.argv[2] ?? '') as ServerConfig;
  const key = Buffer.from(process.env[KEY_VARIABLE] ?? '', 'hex');
  const { name, host, port, members, delivery, file } = config;
  let { rate } = config;
  warmUp(chance);
  const service = delivery === 'replay' ? serveFile : serveRecords;

  const server = createServer({ name, members, delivery, keys: [key], allowHalfOpen: true }, (socket) => {
    log(`session ${socket.sessionId} epoch ${socket.epoch}: starts at snapshot ${socket.snapshotNumber}`);
    socket.on('error', (error) => log(`session ${socket.sessionId}: ${error.message}`));
    socket.on('close', () => log(`session ${socket.sessionId}: closed`));
    service(socket, { file, rate, ...(tamper && { tamper }) });
  });
  server.on('error', (error) => {
    tell({ type: 'failed', message: error.message });
    process.exitCode = 1;
    process.disconnect();
  });
  server.listen(port, host, () => tell({ type: 'ready' }));

  process.on('message', (command: ServerCommand) => {
    if (command.type === 'pace') {
      rate = command.rate;
      return;
    }
    server.drain().then(
      (moved) => tell({ type: 'drained', moved }),
      (error: unknown) => tell({ type: 'failed', message: `drain: ${(error as Error).message}` }),
    );
  });
  // Without its parent, a server of the demo has no reason to be.
  process.on('disconnect', () => process.exit());
}

/** Standard error of a server process is its log file. */
function log(line: string): void {
  console.error(`${performance.now().toFixed(0).padStart(6)} ms  ${line}`);
}

function tell(message: ServerMessage): void {
  if (process.connected) process.send?.(message);
}
