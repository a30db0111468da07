/** A server process of a cluster: numbers every byte it gets. Told its place, the key and all addresses. */
import { createServer } from 'godwit';

const [place = '0', key = '', ...addresses] = process.argv.slice(2);
const members = addresses.map((address, index) => {
  const [host = '', port] = address.startsWith('unix:') ? [address, 0] : address.split(':');
  return { name: `s${index}`, host, port: Number(port) };
});
const server = createServer({ keys: key, members, name: `s${place}` }, (socket) => {
  let count = socket.importState((state) => Number(state.toString())) ?? 0;
  socket.onExportState(() => String(count));
  socket.on('data', (chunk) => {
    for (let index = 0; index < chunk.byteLength; index += 1) socket.write(`${count++}\n`);
  });
});
const { host, port } = members[Number(place)] ?? { host: '', port: 0 };
const listening = (): void => console.log('listening');
if (host.startsWith('unix:')) server.listen(host.slice('unix:'.length), listening);
else server.listen(port, host, listening);
