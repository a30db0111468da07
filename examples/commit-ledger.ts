/** A ledger that gives each deposit a random receipt: not deterministic, yet exactly once. How to run it: examples/README.md */
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { connect, createServer, type ServerSocket } from 'godwit';

const SERVERS = ['127.0.0.1:7001', '127.0.0.1:7002'];
// For this example only: whoever knows the key can take over every session.
const KEY = 'e'.repeat(64);

/** What is behind the last line that was booked. */
interface State {
  balance: number;
  bytesConsumed: number;
}

/** Books the deposits that its client sends, one a line. */
export function keepLedger(socket: ServerSocket): void {
  const state = socket.importState((bytes) => JSON.parse(bytes.toString()) as State);
  let { balance, bytesConsumed } = state ?? { balance: 0, bytesConsumed: 0 };
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    // An unfinished line is not consumed: after a move it comes again, from its beginning.
    rest = lines.pop() ?? '';
    for (const line of lines) {
      balance += Number(line);
      bytesConsumed += line.length + 1;
      socket.write(`deposit ${line}: receipt ${randomUUID()}, balance ${balance}\n`);
      // The client sees the receipt only together with this: the receipt it holds is the one that counts.
      socket.exportState(JSON.stringify({ balance, bytesConsumed } satisfies State), { bytesConsumed });
    }
  });
}

function serve(port: number): void {
  const server = createServer({ keys: [KEY], members: SERVERS, delivery: 'commit' }, (socket) => {
    console.log(socket.restored ? 'a session goes on here' : 'a session starts');
    socket.on('error', (error) => console.log(error.message));
    keepLedger(socket);
  });
  server.listen(port, '127.0.0.1', () => console.log(`listening on port ${port}`));
}

function deposit(count: number): void {
  const socket = connect({ servers: SERVERS });
  socket.on('migrated', ({ from, to }) => console.log(`moved from ${from} to ${to}`));
  createInterface(socket).on('line', (line) => console.log(line));
  let sent = 0;
  const timer = setInterval(() => {
    socket.write(`${++sent}\n`);
    if (sent < count) return;
    clearInterval(timer);
    socket.end();
  }, 500);
}

if (process.argv[1] === import.meta.filename) {
  const [command, ...args] = process.argv.slice(2);
  if (command === 'serve') serve(Number(args[0]));
  else if (command === 'deposit') deposit(Number(args[0] ?? 20));
  else console.error('Usage: commit-ledger.ts serve PORT | commit-ledger.ts deposit COUNT');
}
