/** A download that survives the death of its server. How to run it: examples/README.md */
import { closeSync, createWriteStream, openSync, readSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { connect, createServer, type ServerSocket } from 'godwit';

const SERVERS = ['127.0.0.1:7001', '127.0.0.1:7002'];
// For this example only: whoever knows the key can take over every session.
const KEY = 'e'.repeat(64);

/** Where a session is: all that another server needs to go on. */
interface State {
  request: string;
  sent: number;
}

/** Sends the file whose name its client sends, in pieces with a pause between them, so that you can kill it. */
export function sendFile(socket: ServerSocket, pauseMs = 10): void {
  const state = socket.importState((bytes) => JSON.parse(bytes.toString()) as State) ?? {
    request: '',
    sent: 0,
  };
  socket.onExportState(() => JSON.stringify(state));
  socket.on('data', (chunk: Buffer) => {
    state.request += chunk.toString();
    if (state.request.endsWith('\n')) send();
  });
  if (state.request.endsWith('\n')) send();

  function send(): void {
    const file = openSync(state.request.trim(), 'r');
    const more = (): void => {
      if (socket.destroyed) return;
      const chunk = Buffer.alloc(16 * 1024);
      const length = readSync(file, chunk, 0, chunk.length, state.sent);
      state.sent += length;
      if (length === 0) socket.end();
      else if (socket.write(chunk.subarray(0, length))) setTimeout(more, pauseMs);
      else socket.once('drain', more);
    };
    socket.once('close', () => closeSync(file));
    more();
  }
}

function serve(port: number): void {
  const server = createServer({ keys: [KEY], members: SERVERS, delivery: 'replay' }, (socket) => {
    console.log(socket.restored ? 'a session goes on here' : 'a session starts');
    socket.on('error', (error) => console.log(error.message));
    sendFile(socket);
  });
  server.listen(port, '127.0.0.1', () => console.log(`listening on port ${port}`));
}

async function get(file: string, copy: string): Promise<void> {
  const socket = connect({ servers: SERVERS });
  socket.on('migrated', ({ from, to }) => console.log(`moved from ${from} to ${to}`));
  socket.write(`${file}\n`);
  await pipeline(socket, createWriteStream(copy));
  console.log(`wrote ${copy}`);
}

if (process.argv[1] === import.meta.filename) {
  const [command, ...args] = process.argv.slice(2);
  if (command === 'serve') serve(Number(args[0]));
  else if (command === 'get') await get(args[0] ?? '', args[1] ?? 'copy.bin');
  else console.error('Usage: file-server.ts serve PORT | file-server.ts get FILE COPY');
}
