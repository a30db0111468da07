/** Somebody on the path: passes on what both ends say, listens, changes it, and says what neither has said. */
import { once } from 'node:events';
import net from 'node:net';
import { FrameDecoder, type DataPiece, type Frame } from '../../packages/godwit/src/wire/index.ts';
import type { Member, Scene } from './scene.ts';

export interface Tampering {
  readonly toServer?: (chunk: Buffer) => Buffer;
  readonly toClient?: (chunk: Buffer) => Buffer;
}

export class Relay {
  readonly host = '127.0.0.1';
  readonly port: number;
  /** All that went either way, on all connections. */
  readonly heard: Buffer[] = [];
  /** What servers said on the newest connection, as far as it is in clear. */
  readonly fromServer: (Frame | DataPiece)[] = [];
  tampering: Tampering;
  #client: net.Socket | undefined;

  private constructor(
    scene: Scene,
    server: net.Server,
    to: Pick<Member, 'host' | 'port'>,
    tampering: Tampering,
  ) {
    this.port = (server.address() as net.AddressInfo).port;
    this.tampering = tampering;
    server.on('connection', (client) => {
      const onward = net.connect(to.port, to.host);
      for (const socket of [client, onward]) {
        socket.setNoDelay(true);
        socket.on('error', () => undefined);
        scene.defer(() => void socket.destroy());
      }
      client.on('close', () => onward.destroy());
      onward.on('close', () => client.destroy());
      this.#client = client;
      const decoder = FrameDecoder.forCarrier('server');
      decoder.setAuthenticated();
      client.on('data', (chunk: Buffer) => {
        this.heard.push(chunk);
        onward.write(this.tampering.toServer?.(chunk) ?? chunk);
      });
      onward.on('data', (chunk: Buffer) => {
        this.heard.push(chunk);
        this.#decode(decoder, chunk);
        client.write(this.tampering.toClient?.(chunk) ?? chunk);
      });
    });
  }

  static async start(
    scene: Scene,
    to: Pick<Member, 'host' | 'port'>,
    tampering: Tampering = {},
  ): Promise<Relay> {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    scene.defer(() => void server.close());
    return new Relay(scene, server, to, tampering);
  }

  /** Says this to the client in the name of the server, between two frames. */
  inject(bytes: Uint8Array): void {
    this.#client?.write(bytes);
  }

  #decode(decoder: FrameDecoder<Frame | DataPiece>, chunk: Buffer): void {
    try {
      decoder.push(chunk);
      for (let frame = decoder.next(); frame; frame = decoder.next()) this.fromServer.push(frame);
    } catch {
      // It is TLS, or a link between servers.
    }
  }
}
