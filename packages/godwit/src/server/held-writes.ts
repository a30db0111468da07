/**
 * Backpressure while a session is handed over. What the application writes then waits here, for the case that the session stays;
 * so `write` answers false at once. An application that went on until its stream's buffer is full would take the processor from
 * whoever has to finish the move, and its work would be thrown away.
 */
import { Duplex } from 'node:stream';

type Write = Duplex['write'];

export class HeldWrites {
  readonly #socket: Duplex;
  /** `write` answered false for our sake alone: 'drain' is ours to emit, too. */
  #owesDrain = false;
  #write: Write | undefined;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** From now on `write` takes what it is given, and answers false. A `write` of somebody else's is left alone. */
  hold(): void {
    const socket = this.#socket;
    if (Object.hasOwn(socket, 'write')) return;
    const write = (...args: Parameters<Write>): boolean => {
      Duplex.prototype.write.apply(socket, args);
      this.#owesDrain = true;
      return false;
    };
    // A property of its own, so that other writes cost nothing.
    socket.write = this.#write = write as Write;
  }

  /** The session stays: whoever was told to wait goes on. */
  release(): void {
    const socket = this.#socket;
    if (this.#write === undefined) return;
    if (socket.write === this.#write) Reflect.deleteProperty(socket, 'write');
    this.#write = undefined;
    if (!this.#owesDrain) return;
    this.#owesDrain = false;
    // Behind what waited; where the stream is full, it emits 'drain' itself.
    process.nextTick(() => {
      if (!socket.destroyed && !socket.writableNeedDrain) socket.emit('drain');
    });
  }
}
