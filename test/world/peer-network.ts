/**
 * Links between servers, as PeerLinks makes them: dialled when there is something to send, in order, used both ways. What
 * is sent into a cut waits; a link that a process takes down with it, or that can't be made, is told to its user.
 */
import { PEER_DIAL_TIMEOUT_MS } from '../../packages/godwit/src/cluster/peer-links.ts';
import { FrameDecoder, type PeerFrame, type ServerAddress } from '../../packages/godwit/src/wire/index.ts';
import type { Scheduler } from './scheduler.ts';

/** One server process. Another one under the same name is another process. */
export interface PeerProcess {
  readonly address: ServerAddress;
  readonly isAlive: boolean;
  /** Its machine went with it: nobody answers for it. */
  readonly isSilent: boolean;
  handlePeerFrame(peer: ServerAddress, frame: PeerFrame): void;
  handlePeerLost(name: string): void;
}

export interface PeerWorld {
  readonly scheduler: Scheduler;
  latencyOf(from: string, to: string): number;
  isCut(from: string, to: string): boolean;
  process(name: string): PeerProcess | undefined;
  /** Sees each frame before the process that it is for. */
  beforeFrame(frame: PeerFrame, from: string, to: string): void;
}

/** What one process sends to one name. */
interface Direction {
  readonly from: PeerProcess;
  /** The process at the other end; undefined while the link is being made. */
  to: PeerProcess | undefined;
  readonly toName: string;
  waiting: Uint8Array[];
  lastArrival: number;
  isOver: boolean;
}

export class PeerNetwork {
  readonly #world: PeerWorld;
  readonly #directions = new Map<string, Direction>();

  constructor(world: PeerWorld) {
    this.#world = world;
  }

  send(from: PeerProcess, to: ServerAddress, bytes: Uint8Array): void {
    const copy = bytes.slice();
    const known = this.#directions.get(`${from.address.name}>${to.name}`);
    if (known && known.from === from && !known.isOver) {
      if (known.to === undefined || this.#world.isCut(from.address.name, to.name)) known.waiting.push(copy);
      else this.#transmit(known, copy);
      return;
    }
    this.#dial({
      from,
      to: undefined,
      toName: to.name,
      waiting: [copy],
      lastArrival: 0,
      isOver: false,
    });
  }

  /** Gives a link as long to come about as the driver does; SYNs that are lost are sent again. */
  #dial(direction: Direction): void {
    const { scheduler } = this.#world;
    const { from, toName } = direction;
    const name = from.address.name;
    this.#directions.set(`${name}>${toName}`, direction);
    if (this.#isCutEitherWay(name, toName)) {
      scheduler.after(PEER_DIAL_TIMEOUT_MS, () => {
        if (direction.to === undefined) this.#lose(direction);
      });
      return;
    }
    scheduler.after(this.#world.latencyOf(name, toName), () => this.#arrive(direction));
  }

  #arrive(direction: Direction): void {
    if (direction.isOver) return;
    const to = this.#world.process(direction.toName);
    if (to?.isAlive) {
      direction.to = to;
      this.#flush(direction);
    } else if (to?.isSilent) {
      this.#world.scheduler.after(PEER_DIAL_TIMEOUT_MS, () => {
        if (direction.to === undefined) this.#lose(direction);
      });
    } else this.#lose(direction);
  }

  #flush(direction: Direction): void {
    if (this.#world.isCut(direction.from.address.name, direction.toName)) return;
    for (const bytes of direction.waiting.splice(0)) this.#transmit(direction, bytes);
  }

  #transmit(direction: Direction, bytes: Uint8Array): void {
    const { scheduler } = this.#world;
    const at = Math.max(
      direction.lastArrival,
      scheduler.now + this.#world.latencyOf(direction.from.address.name, direction.toName),
    );
    direction.lastArrival = at;
    scheduler.at(at, () => {
      const { to, from } = direction;
      if (direction.isOver || !to) return;
      if (!to.isAlive) {
        // Only a machine that runs can say that a process is gone.
        if (!to.isSilent || this.#world.process(direction.toName)?.isAlive) this.#lose(direction);
        return;
      }
      const decoder = FrameDecoder.forPeerLink();
      decoder.push(bytes);
      for (let frame = decoder.next(); frame && !direction.isOver; frame = decoder.next()) {
        this.#world.beforeFrame(frame, from.address.name, direction.toName);
        to.handlePeerFrame(from.address, frame);
      }
    });
  }

  #isCutEitherWay(a: string, b: string): boolean {
    return this.#world.isCut(a, b) || this.#world.isCut(b, a);
  }

  /** What was sent may be lost: its sender is told. */
  #lose(direction: Direction): void {
    if (direction.isOver) return;
    direction.isOver = true;
    direction.waiting = [];
    const key = `${direction.from.address.name}>${direction.toName}`;
    if (this.#directions.get(key) === direction) this.#directions.delete(key);
    if (direction.from.isAlive) direction.from.handlePeerLost(direction.toName);
  }

  /** Both directions between two names break: what is under way is lost, and both are told. */
  break(a: string, b: string): void {
    for (const direction of [...this.#directions.values()]) {
      const from = direction.from.address.name;
      const isBetween = (from === a && direction.toName === b) || (from === b && direction.toName === a);
      if (isBetween) this.#lose(direction);
    }
  }

  /** A process is gone. Those it had links to hear so from its kernel, unless that is gone as well. */
  abandon(process: PeerProcess, silent: boolean): void {
    for (const direction of [...this.#directions.values()]) {
      if (direction.from === process) this.#lose(direction);
      else if (direction.to === process && !silent) {
        const { scheduler } = this.#world;
        scheduler.after(this.#world.latencyOf(direction.toName, direction.from.address.name), () =>
          this.#lose(direction),
        );
      }
    }
  }

  /** Cuts have changed: what waited may go on. */
  release(): void {
    for (const direction of [...this.#directions.values()]) {
      if (this.#isCutEitherWay(direction.from.address.name, direction.toName)) continue;
      if (direction.to) this.#flush(direction);
      else
        this.#world.scheduler.after(
          this.#world.latencyOf(direction.from.address.name, direction.toName),
          () => {
            if (direction.to === undefined) this.#arrive(direction);
          },
        );
    }
  }
}
