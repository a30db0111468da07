/** A plain node:net server that sends for as long as anybody reads. */
import net from 'node:net';

const piece = Buffer.alloc(64 * 1024, 'floor');

const server = net.createServer((socket) => {
  const pump = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', pump);
  socket.on('error', () => {});
  pump();
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as net.AddressInfo).port));
process.on('disconnect', () => process.exit());
