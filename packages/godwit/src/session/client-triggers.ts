/**
 * TRIGGER frames: a server, or whoever holds the cluster's trigger key, asks the client to migrate; the client decides
 * (protocol.md §5.10, §10.1).
 */
import { Cause, OriginState, macedPart, toHex, type Frame } from '../wire/index.ts';
import { sameAddress } from './candidate-race.ts';
import type { ClientCore } from './client-core.ts';
import type { Migration } from './client-migration.ts';

export class Triggers {
  readonly #core: ClientCore;
  readonly #migration: Migration;
  /** The newest trigger key and another: while a cluster rotates its keys, servers use either. */
  #keys: { readonly id: string; readonly key: Uint8Array }[] = [];
  /** The cluster keys that the server told of last: of all others no TRIGGER is believed, since they may have been revoked. */
  #good: readonly string[] = [];
  #last = { epoch: 0, counter: -1 };

  constructor(core: ClientCore, migration: Migration) {
    this.#core = core;
    this.#migration = migration;
  }

  /** A TRIGGER for this session, in-band or over a standby (paper §3.1, protocol.md §5.10). */
  handle(now: number, frame: Frame<'trigger'>): void {
    this.#core.now = now;
    if (
      this.#core.state !== 'attached' ||
      this.#core.destroyed ||
      frame.epoch !== this.#core.attachment?.epoch
    )
      return;
    if (this.#isOld(frame)) return;
    this.#verify(frame, [...this.#keys]);
  }

  /** One that was followed already, or an older one. */
  #isOld(frame: Frame<'trigger'>): boolean {
    return this.#last.epoch === frame.epoch && frame.counter <= this.#last.counter;
  }

  #verify(frame: Frame<'trigger'>, keys: { readonly key: Uint8Array }[]): void {
    const secret = keys.shift()?.key;
    if (!secret) return; // forged, or made with a key this client has not been told of
    this.#core.crypto.ask(
      { op: 'verify', secret, label: 'trigger', data: [macedPart(frame.payload)], mac: frame.mac },
      ({ ok }) => {
        if (this.#core.state !== 'attached' || frame.epoch !== this.#core.attachment?.epoch) return;
        if (this.#isOld(frame)) return; // its repetition was verified first
        if (!ok) {
          this.#verify(frame, keys);
          return;
        }
        this.#last = { epoch: frame.epoch, counter: frame.counter };
        const to = frame.host === '' ? undefined : { name: frame.name, host: frame.host, port: frame.port };
        if (to && sameAddress(to, this.#core.attachment.server)) return;
        this.#migration.begin(
          this.#core.now,
          frame.from === this.#core.attachment.server.name ? Cause.Origin : Cause.OtherServer,
          to,
          OriginState.Unknown,
        );
      },
    );
  }

  /** SUPPORT carries the cluster's trigger key, masked with the session's secret. */
  takeKey(frame: Frame<'support'>): void {
    const id = toHex(frame.triggerKeyId);
    this.#good = [id, toHex(frame.otherTriggerKeyId)];
    this.#keys = this.#keys.filter((known) => this.#good.includes(known.id));
    if (!this.#core.secret || this.#keys.some((known) => known.id === id)) return;
    this.#core.crypto.ask(
      {
        op: 'unmaskTriggerKey',
        secret: this.#core.secret,
        keyId: frame.triggerKeyId,
        masked: frame.triggerKey,
      },
      ({ key }) => {
        // `slice` gives back the room that `filter` makes for more.
        this.#keys = [{ id, key }, ...this.#keys].filter((known) => this.#good.includes(known.id)).slice();
      },
    );
  }
}
