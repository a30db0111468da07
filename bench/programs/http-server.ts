/** node:http, unmodified, behind a server of either kind. */
import http from 'node:http';
import { runProgram } from '../harness/program.ts';
import { listen, protect, type ServerChoices } from './implementation.ts';

export interface HttpServerConfig extends ServerChoices {
  readonly bodyBytes: number;
}

await runProgram(async (config: HttpServerConfig) => {
  const body = Buffer.alloc(config.bodyBytes, 'body');
  const web = http.createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': body.length });
    response.end(body);
  });
  const { port } = await listen({ ...config, allowHalfOpen: true }, (socket) => {
    // Requests are answered as they are read: between two turns of the event loop there is nothing to remember.
    protect(socket, () => '');
    web.emit('connection', socket);
  });
  return { ready: port, calls: {} };
});
