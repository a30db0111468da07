/** Whom at a node a message of another server is for (protocol.md §9). */
import { encodePeerFrame, type PeerFrame, type ServerAddress } from '../wire/index.ts';
import type { Destination } from './destination.ts';
import type { Origin } from './origin.ts';

export interface PeerParts {
  readonly origin: Origin;
  readonly destination: Destination;
  readonly sendPeer: (peer: ServerAddress, bytes: Uint8Array) => void;
}

export function dispatchPeerFrame(
  { origin, destination, sendPeer }: PeerParts,
  peer: ServerAddress,
  frame: PeerFrame,
): void {
  switch (frame.frame) {
    case 'pull':
      origin.handlePull(peer, frame);
      return;
    case 'confirmed':
      origin.handleConfirmed(peer, frame);
      return;
    case 'abort':
      origin.handleAbort(peer, frame);
      return;
    case 'release':
      origin.handleRelease(peer, frame);
      return;
    case 'peerPing':
      sendPeer(peer, encodePeerFrame('peerPong', { token: frame.token, load: 0 }));
      return;
    case 'peerPong':
      return;
    default:
      destination.handlePeerFrame(peer, frame);
  }
}
