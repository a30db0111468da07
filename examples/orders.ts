/** Takes orders, and charges each exactly once, whatever happens to the server. How to run it: examples/README.md */
import { randomInt } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { connect, createServer, type ServerSocket, type Socket } from 'godwit';

const SERVERS = ['127.0.0.1:7001', '127.0.0.1:7002'];
// For this example only: whoever knows the key can take over every session.
const KEY = 'e'.repeat(64);
const NEWLINE = 10;

/** What charges: a database, a payment service. It does nothing when it has seen the key before, and answers as it did then. */
export interface Payments {
  charge(key: string, order: string): Promise<string>;
}

/** Charges the orders that its client sends, one a line, and answers each with its receipt. */
export async function takeOrders(socket: ServerSocket, payments: Payments): Promise<void> {
  // Where the next order begins. All there is to say of a session is how many orders are behind it.
  let consumed = socket.bytesConsumed;
  socket.onExportState(() => ({ state: 'orders', bytesConsumed: consumed }));
  try {
    let rest = Buffer.alloc(0);
    for await (const chunk of socket) {
      rest = Buffer.concat([rest, chunk as Buffer]);
      for (let end = rest.indexOf(NEWLINE); end !== -1; end = rest.indexOf(NEWLINE)) {
        const order = rest.subarray(0, end).toString();
        rest = rest.subarray(end + 1);
        // A server that dies here has charged, and told nobody. The next one charges again, under the same key.
        const receipt = await payments.charge(socket.idempotencyKey(consumed), order);
        consumed += end + 1;
        socket.write(`${order}: ${receipt}\n`);
      }
    }
  } catch (error) {
    // The session has moved on to another server, or its client has gone.
    if (!socket.signal.aborted) throw error;
  }
}

/** Places one order after another, each when the receipt of the last one has come. */
export async function* placeOrders(socket: Socket, orders: readonly string[]): AsyncGenerator<string> {
  const answers = createInterface(socket)[Symbol.asyncIterator]();
  for (const order of orders) {
    socket.write(`${order}\n`);
    yield String((await answers.next()).value);
  }
  socket.end();
}

/** A file for each charge, in a folder that both servers have: creating it fails where it is there already. */
const folder: Payments = {
  async charge(key, order) {
    await setTimeout(50); // a payment takes its time
    mkdirSync('charges', { recursive: true });
    const path = `charges/${key.replace(':', '-')}`;
    try {
      writeFileSync(path, `receipt ${randomInt(1_000_000)} for ${order}`, { flag: 'wx' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      console.log(`${order} was charged before`);
    }
    return readFileSync(path, 'utf8');
  },
};

function serve(port: number): void {
  const server = createServer({ keys: [KEY], members: SERVERS }, (socket) => {
    console.log(socket.restored ? 'a session goes on here' : 'a session starts');
    socket.on('error', (error) => console.log(error.message));
    takeOrders(socket, folder).catch((error: unknown) => socket.destroy(error as Error));
  });
  server.listen(port, '127.0.0.1', () => console.log(`listening on port ${port}`));
}

async function order(count: number): Promise<void> {
  const socket = connect({ servers: SERVERS });
  socket.on('migrated', ({ from, to }) => console.log(`moved from ${from} to ${to}`));
  const orders = Array.from({ length: count }, (_, index) => `${index + 1} pears`);
  for await (const receipt of placeOrders(socket, orders)) console.log(receipt);
}

if (process.argv[1] === import.meta.filename) {
  const [command, ...args] = process.argv.slice(2);
  if (command === 'serve') serve(Number(args[0]));
  else if (command === 'order') await order(Number(args[0] ?? 200));
  else console.error('Usage: orders.ts serve PORT | orders.ts order COUNT');
}
