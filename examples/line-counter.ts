/** `wc -l` at a server that may die while it counts. How to run it: examples/README.md */
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { connect, createServer, type ServerSocket } from 'godwit';

const SERVERS = ['127.0.0.1:7001', '127.0.0.1:7002'];
// For this example only: whoever knows the key can take over every session.
const KEY = 'e'.repeat(64);
const NEWLINE = 10;

/** Counts the lines that its client sends, and answers when that has ended its side: the server must be half-open. */
export function countLines(socket: ServerSocket): void {
  let lines = socket.importState((bytes) => Number(bytes.toString())) ?? 0;
  // What has been counted can't be asked for again: the state covers all input up to here.
  socket.onExportState(() => String(lines));
  socket.on('data', (chunk: Buffer) => {
    for (const byte of chunk) if (byte === NEWLINE) lines++;
  });
  socket.on('end', () => socket.end(`${lines} lines\n`));
}

function serve(port: number): void {
  // The client ends its side first and then waits for the answer.
  const options = { keys: [KEY], members: SERVERS, delivery: 'replay', allowHalfOpen: true } as const;
  const server = createServer(options, (socket) => {
    console.log(socket.restored ? 'a session goes on here' : 'a session starts');
    socket.on('error', (error) => console.log(error.message));
    countLines(socket);
  });
  server.listen(port, '127.0.0.1', () => console.log(`listening on port ${port}`));
}

async function count(file: string): Promise<void> {
  const socket = connect({ servers: SERVERS });
  socket.on('migrated', ({ from, to }) => console.log(`moved from ${from} to ${to}`));
  socket.on('data', (chunk: Buffer) => process.stdout.write(chunk));
  await pipeline(createReadStream(file), slowly, socket);
}

/** A megabyte a second, so that there is time to kill a server. */
async function* slowly(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    await new Promise((resolve) => setTimeout(resolve, chunk.length / 1000));
    yield chunk;
  }
}

if (process.argv[1] === import.meta.filename) {
  const [command, ...args] = process.argv.slice(2);
  if (command === 'serve') serve(Number(args[0]));
  else if (command === 'count') await count(args[0] ?? '');
  else console.error('Usage: line-counter.ts serve PORT | line-counter.ts count FILE');
}
