/** The fence is asked whether a session may attach here, before its application starts (protocol.md §10.10). */
import type { CryptoBook } from './crypto.ts';
import type { FenceAnswer } from './fence-rules.ts';
import type { PendingAttach } from './pending-attach.ts';
import type { ServerNodeConfig } from './server-config.ts';
import type { ServerSession } from './server-session.ts';
import type { SnapshotPoint } from './server-streams.ts';
import { throwIfKeptOut } from './session-fence.ts';
import type { TicketHead } from './ticket.ts';

export interface FenceGateHost {
  readonly config: ServerNodeConfig;
  readonly crypto: CryptoBook;
  setBusy(carrierId: number, busy: boolean): void;
}

/** What the destination sees to while the answer is awaited. */
export interface FenceGateOwner {
  isCurrent(attach: PendingAttach): boolean;
  guarded(attach: PendingAttach, action: () => void): void;
}

export class FenceGate {
  readonly #host: FenceGateHost;
  readonly #owner: FenceGateOwner;

  constructor(host: FenceGateHost, owner: FenceGateOwner) {
    this.#host = host;
    this.#owner = owner;
  }

  /** A copy is about to begin at that point. */
  restore(attach: PendingAttach, head: TicketHead, point: SnapshotPoint, then: () => void): void {
    const { fence, name } = this.#host.config;
    if (!fence) {
      then();
      return;
    }
    const question = {
      kind: 'check',
      sessionId: attach.sessionId,
      secret: head.secret,
      epoch: attach.migrate.epoch,
      heldEpoch: 0,
      owner: '',
      server: name,
      point: { epoch: point.epoch, k: point.k },
      acknowledged: { epoch: head.epoch, k: head.k },
      floor: fence.floor,
    } as const;
    this.#await(
      attach,
      (answered) => this.#host.crypto.ask({ op: 'fence', question }, answered),
      (answer) => {
        throwIfKeptOut(answer, fence);
        then();
      },
    );
  }

  /**
   * The client comes back to the copy that is here: `leftBehind` when it went live elsewhere meanwhile. If what it comes back
   * to was not confirmed, that confirms it, and the copy must go live as at CONFIRM: it may have been offered long ago, and
   * have made points since that no longer show where it began.
   */
  resume(
    attach: PendingAttach,
    session: ServerSession,
    then: () => void,
    leftBehind: (server: string) => void,
  ): void {
    const { fence } = session;
    if (!fence) {
      session.goLive(then);
      return;
    }
    this.#await(
      attach,
      (answered) => {
        if (session.isLive) fence.check(attach.migrate.epoch, answered);
        else session.goLive(answered);
      },
      (answer) => {
        if (answer.kind === 'refused') leftBehind(answer.server);
        else {
          throwIfKeptOut(answer, fence.config);
          then();
        }
      },
    );
  }

  #await(
    attach: PendingAttach,
    ask: (answered: (answer: FenceAnswer) => void) => void,
    then: (answer: FenceAnswer) => void,
  ): void {
    this.#host.setBusy(attach.carrierId, true);
    ask((answer) => {
      if (!this.#owner.isCurrent(attach)) return;
      this.#host.setBusy(attach.carrierId, false);
      this.#owner.guarded(attach, () => then(answer));
    });
  }
}
