/** Those who have no session: what they send must change nothing (invariant I8). */
import { Role, encodePreface } from '../../packages/godwit/src/wire/index.ts';
import type { VirtualServer } from '../world/virtual-server.ts';
import type { Draw } from './draw.ts';
import type { Simulation } from './simulation.ts';

/** What the network calls them. */
export const STRANGER = 'stranger';

/** Bytes of garbage at the most. */
const MAX_GARBAGE_BYTES = 8192;

export class Stranger {
  readonly #simulation: Simulation;
  readonly #draw: Draw;

  constructor(simulation: Simulation, draw: Draw) {
    this.#simulation = simulation;
    this.#draw = draw;
  }

  /** A preface, or something like it, and frames, or something like them. */
  garbage(server: VirtualServer): boolean {
    const draw = this.#draw;
    const parts: Uint8Array[] = [];
    if (draw.chance(0.8)) parts.push(encodePreface(draw.chance(0.8) ? Role.Client : Role.Peer));
    for (let count = draw.whole(0, 6); count >= 0; count -= 1) {
      const payload = Uint8Array.from({ length: draw.magnitude(1, MAX_GARBAGE_BYTES) }, () =>
        draw.whole(0, 255),
      );
      const claimed = draw.chance(0.8) ? payload.byteLength : draw.whole(0, 2 ** 24 - 1);
      parts.push(
        Uint8Array.of(draw.whole(0, 255), claimed >> 16, (claimed >> 8) & 0xff, claimed & 0xff),
        payload,
      );
    }
    this.#send(server, parts);
    return true;
  }

  /** What a client once sent, byte by byte, on a carrier of one's own. */
  replay(server: VirtualServer): boolean {
    const recordings = this.#simulation.recordings;
    if (recordings.length === 0) return false;
    this.#send(server, [encodePreface(Role.Client), ...this.#draw.pick(recordings)]);
    return true;
  }

  #send(server: VirtualServer, parts: readonly Uint8Array[]): void {
    const { world } = this.#simulation;
    world.dial(STRANGER, server.address.name, (pipe) => {
      if (!pipe) return;
      pipe.attach(0, { onData: () => undefined, onClose: () => undefined });
      pipe.sendParts(0, parts);
      world.scheduler.after(this.#draw.between(0, 500), () => pipe.close(0));
    });
  }
}
