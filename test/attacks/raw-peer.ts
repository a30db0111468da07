/** A server of the cluster, or somebody who would like to be one: a peer link by hand. */
import { once } from 'node:events';
import net from 'node:net';
import { PeerChannel } from '../../packages/godwit/src/cluster/peer-channel.ts';
import { KeyRing } from '../../packages/godwit/src/crypto/index.ts';
import {
  FrameDecoder,
  ProtocolError,
  concatBytes,
  type PeerFrame,
  type ServerAddress,
} from '../../packages/godwit/src/wire/index.ts';
import type { Member, Scene, SceneServer } from './scene.ts';
import { waitUntil } from './wait-until.ts';

export interface PeerIdentity {
  /** The key of the cluster that it uses, in hexadecimal. */
  readonly key: string;
  /** Who it says it is. */
  readonly self: ServerAddress;
}

export class RawPeer {
  readonly frames: PeerFrame[] = [];
  isClosed = false;
  readonly socket: net.Socket;
  readonly #channel: PeerChannel;
  readonly #decoder = FrameDecoder.forPeerLink();
  readonly #onFrame: ((frame: PeerFrame, link: RawPeer) => void) | undefined;

  private constructor(
    socket: net.Socket,
    channel: PeerChannel,
    onFrame?: (frame: PeerFrame, link: RawPeer) => void,
  ) {
    this.socket = socket;
    this.#channel = channel;
    this.#onFrame = onFrame;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.isClosed = true));
  }

  /** Dials a server as a peer, for the peer of that name: by default the server's own. */
  static async dial(scene: Scene, to: Member, { key, self }: PeerIdentity, name = to.name): Promise<RawPeer> {
    const socket = net.connect(to.port, to.host);
    scene.defer(() => void socket.destroy());
    await once(socket, 'connect');
    const channel = PeerChannel.initiate({ ring: KeyRing.from(key), self }, name);
    const link = new RawPeer(socket, channel);
    link.#flush();
    return link;
  }

  /** Answers for a server at its address. */
  static async listen(
    scene: Scene,
    at: Member,
    { key, self }: PeerIdentity,
    onFrame: (frame: PeerFrame, link: RawPeer) => void,
  ): Promise<void> {
    const server = net.createServer((socket) => {
      scene.defer(() => void socket.destroy());
      new RawPeer(socket, PeerChannel.respond({ ring: KeyRing.from(key), self }), onFrame);
    });
    server.listen(at.port, at.host);
    await once(server, 'listening');
    scene.defer(() => void server.close());
  }

  get isOpen(): boolean {
    return this.#channel.isOpen;
  }

  send(...frames: readonly Uint8Array[]): void {
    for (const frame of frames) this.socket.write(concatBytes(this.#channel.seal([frame])));
  }

  #receive(chunk: Buffer): void {
    try {
      for (const plaintext of this.#channel.receive(chunk)) this.#decoder.push(plaintext);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.socket.destroy();
      return;
    }
    this.#flush();
    for (let frame = this.#decoder.next(); frame; frame = this.#decoder.next()) {
      this.frames.push(frame);
      this.#onFrame?.(frame, this);
    }
  }

  #flush(): void {
    const output = this.#channel.takeOutput();
    if (output.length > 0) this.socket.write(concatBytes(output));
  }
}

/** Why the server turned somebody away; undefined once `isGained` holds. */
export async function refusalAt(
  { refusals }: SceneServer,
  isGained: () => boolean,
): Promise<string | undefined> {
  await waitUntil(() => isGained() || refusals.length > 0, 'a refusal');
  return isGained() ? undefined : refusals[0]?.code;
}
