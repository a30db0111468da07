/** Whoever comes to a server, from the accepted connection until it is known who they are and what they came for. */
import type { BlockList } from 'node:net';
import type { Carrier, ListenPeer } from '../carriers/carrier.ts';
import type { Failure } from '../session/client-events.ts';
import { objectionTo } from './admission.ts';
import { HalfOpen } from './half-open.ts';
import { PrefaceGate } from './preface-gate.ts';
import type { ServerSettings } from './server-options.ts';
import { Trunks } from './trunks.ts';

export type ArrivalSettings = Pick<ServerSettings, 'gate' | 'plain' | 'halfOpen' | 'timers'> & {
  readonly blockList: BlockList | undefined;
};

export interface ArrivalHooks {
  /** The server takes connections. */
  isListening(): boolean;
  /** A carrier begins to be read. */
  arrived(carrier: Carrier): void;
  acceptClient(carrier: Carrier, behind: Uint8Array): void;
  acceptPeer(carrier: Carrier, received: Uint8Array): void;
  acceptPlain(carrier: Carrier, unread: Uint8Array): void;
  /** Somebody is not taken. */
  refused(failure: Failure, peer: ListenPeer): void;
}

export class Arrivals {
  readonly #settings: ArrivalSettings;
  readonly #hooks: ArrivalHooks;
  readonly #halfOpen: HalfOpen;
  readonly #gate: PrefaceGate;
  readonly #trunks: Trunks;

  constructor(settings: ArrivalSettings, hooks: ArrivalHooks) {
    this.#settings = settings;
    this.#hooks = hooks;
    this.#halfOpen = new HalfOpen(settings.halfOpen);
    const refused = (carrier: Carrier, failure: Failure): void => hooks.refused(failure, peerOf(carrier));
    const settled = (carrier: Carrier): void => this.settled(carrier);
    this.#trunks = new Trunks(settings.timers.authenticateTimeoutMs, {
      isListening: () => hooks.isListening(),
      onChannel: (channel) => this.#admit(channel),
      refused,
      settled,
    });
    this.#gate = new PrefaceGate(settings.gate, settings.plain, {
      acceptClient: (carrier, behind) => hooks.acceptClient(carrier, behind),
      acceptTrunk: (carrier, behind) => this.#trunks.accept(carrier, behind),
      acceptPeer: (carrier, received) => {
        this.settled(carrier); // links that prove nothing have limits of their own
        hooks.acceptPeer(carrier, received);
      },
      acceptPlain: (carrier, unread) => hooks.acceptPlain(carrier, unread),
      refused,
      closed: settled,
    });
  }

  /** Peers that have settled nothing yet. */
  get halfOpen(): number {
    return this.#halfOpen.size;
  }
  /** Connections in which carriers share a pipe. */
  get trunks(): number {
    return this.#trunks.size;
  }

  /** An accepted connection. */
  accept(carrier: Carrier): void {
    if (!this.#admit(carrier)) carrier.destroy();
  }

  /** A handshake of TLS begins; the answer is called when it is over. Undefined: the peer is to be closed at once. */
  handshake(peer: ListenPeer): (() => void) | undefined {
    const objection = objectionTo(peer.address, this.#settings.blockList, this.#halfOpen);
    if (objection === undefined) return this.#halfOpen.enter(peer.address);
    this.#hooks.refused(objection, peer);
    return undefined;
  }

  #admit(carrier: Carrier): boolean {
    const objection = objectionTo(carrier.remoteAddress, this.#settings.blockList, this.#halfOpen);
    if (objection !== undefined) {
      this.#hooks.refused(objection, peerOf(carrier));
      return false;
    }
    this.#halfOpen.enterCarrier(carrier);
    this.#hooks.arrived(carrier);
    this.#gate.accept(carrier);
    return true;
  }

  /** What the carrier was for is settled, or it is closed; may be told again. */
  settled(carrier: Carrier): void {
    this.#halfOpen.leave(carrier);
    this.#trunks.settled(carrier);
  }

  /** Nothing is left for which anybody could come. */
  close(): void {
    this.#gate.close();
    this.#trunks.end();
  }

  /** All are gone at once, as after `kill -9`. */
  kill(): void {
    this.#gate.close();
    this.#trunks.kill();
  }
}

function peerOf({ remoteAddress: address, remotePort: port }: Carrier): ListenPeer {
  return { address, port };
}
