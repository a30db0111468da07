/** TRIGGER: asks a client to migrate, in-band or over a standby (paper §3.1, protocol.md §5.10). */
import {
  NO_MAC,
  encodePayload,
  framePayload,
  macedPart,
  withMac,
  type ServerAddress,
} from '../wire/index.ts';
import type { CryptoBook } from './crypto.ts';
import type { ServerCarriers } from './server-carrier.ts';
import type { ServerNodeConfig } from './server-config.ts';

/** No destination: the client picks one. */
const ANYWHERE: ServerAddress = { name: '', host: '', port: 0 };

export class Triggers {
  readonly #config: ServerNodeConfig;
  readonly #crypto: CryptoBook;
  readonly #carriers: ServerCarriers;
  /** Begins with the time, so that it goes on rising when a server starts again under the same name. */
  #counter: number;

  constructor(config: ServerNodeConfig, crypto: CryptoBook, carriers: ServerCarriers) {
    this.#config = config;
    this.#crypto = crypto;
    this.#carriers = carriers;
    this.#counter = Math.floor(config.wallClock()) * 1000;
  }

  send(carrierId: number, sessionId: Uint8Array, epoch: number, to: ServerAddress | undefined): void {
    this.#counter += 1;
    const payload = encodePayload('trigger', {
      sessionId,
      epoch,
      counter: this.#counter,
      reason: 0,
      from: this.#config.name,
      ...(to ?? ANYWHERE),
      mac: NO_MAC,
    });
    this.#crypto.ask({ op: 'triggerMac', sessionId, data: [macedPart(payload)] }, ({ mac }) => {
      const frame = framePayload('trigger', withMac(payload, mac));
      const session = this.#carriers.get(carrierId)?.session;
      if (session) session.queue(frame);
      else this.#carriers.queue(carrierId, frame);
    });
  }
}
