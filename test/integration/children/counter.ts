/** A server process of a cluster: numbers every byte it gets. Told its place, its ports and the key. */
import { createServer } from 'godwit';

const [place = '0', key = '', ...ports] = process.argv.slice(2);
const members = ports.map((port, index) => ({ name: `s${index}`, host: '127.0.0.1', port: Number(port) }));
const server = createServer({ keys: key, members, name: `s${place}` }, (socket) => {
  let count = socket.importState((state) => Number(state.toString())) ?? 0;
  socket.onExportState(() => String(count));
  socket.on('data', (chunk) => {
    for (let index = 0; index < chunk.byteLength; index += 1) socket.write(`${count++}\n`);
  });
});
server.listen(Number(ports[Number(place)]), '127.0.0.1', () => console.log('listening'));
