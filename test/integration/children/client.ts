/** A client process: connects to the ports it is given, and does what it is told. It must end by itself. */
import { once } from 'node:events';
import godwit from 'godwit';

const [what, ...ports] = process.argv.slice(2);
const servers = ports.map((port) => `127.0.0.1:${port}`);
const startedMs = performance.now();
const socket = godwit.connect({ servers });
socket.on('error', (error) => {
  console.log((error as NodeJS.ErrnoException).code, performance.now() - startedMs);
});

switch (what) {
  case 'end':
    socket.end('x');
    socket.resume();
    console.log('done');
    break;
  case 'destroy':
    await once(socket, 'connect');
    socket.destroy();
    console.log('done');
    break;
  case 'unref':
    await once(socket, 'connect');
    socket.unref();
    console.log('done');
    break;
  case 'idle':
    await once(socket, 'connect');
    console.log('connected');
    socket.on('data', (chunk) => console.log(String(chunk)));
    break;
  case 'fail':
    break;
  default:
    throw new Error(`no such task: ${what}`);
}
