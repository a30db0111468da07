/** node:http, unmodified, over connections of either kind that are kept. */
import http from 'node:http';
import { fail, runProgram } from '../harness/program.ts';
import { dial, type ClientChoices } from './implementation.ts';
import { workAtOnce, type Rate, type Window } from './rate-meter.ts';

export interface HttpClientConfig extends ClientChoices {
  readonly connections: number;
  readonly bodyBytes: number;
}

await runProgram((config: HttpClientConfig) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: config.connections });
  let opened = 0;
  Object.assign(agent, {
    createConnection: () => {
      opened += 1;
      return dial(config);
    },
  });

  const request = (): Promise<void> =>
    new Promise((resolve) => {
      const sent = http.get({ agent, host: '127.0.0.1', port: config.ports[0], path: '/' }, (response) => {
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        response.on('end', () => {
          if (bytes !== config.bodyBytes) fail(`a body of ${bytes} bytes, not ${config.bodyBytes}`);
          resolve();
        });
      });
      sent.on('error', (error) => fail(`a request failed: ${error.message}`));
    });

  const measure = async (window: Window): Promise<Rate> => {
    const rate = await workAtOnce(config.connections, window, request);
    if (opened !== config.connections) fail(`${opened} connections were opened, not ${config.connections}`);
    return rate;
  };
  return { calls: { measure } };
});
