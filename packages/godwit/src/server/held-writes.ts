/**
 * Backpressure while a session is handed over. What the application writes behind its last state waits here, for the case that the
 * session stays; so `write` answers false at once. An application that went on until its stream's buffer is full would take the
 * processor from whoever has to finish the move, and its work would be thrown away.
 */
import { Duplex } from 'node:stream';

type Write = Duplex['write'];

export class HeldWrites {
  readonly #socket: Duplex;
  /** `write` answered false for our sake alone: 'drain' is ours to emit, too. */
  #owesDrain = false;
  #write: Write | undefined;
  readonly #onDrain = (): void => {
    this.#owesDrain = false;
  };

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** From now on `write` takes what it is given, and answers false. A `write` of somebody else's is left alone. */
  hold(): void {
    const socket = this.#socket;
    if (Object.hasOwn(socket, 'write')) return;
    const write = (...args: Parameters<Write>): boolean => {
      const goOn = Duplex.prototype.write.apply(socket, args);
      // Somebody may have kept this function.
      if (this.#write !== write) return goOn;
      if (!this.#owesDrain) {
        this.#owesDrain = true;
        socket.once('drain', this.#onDrain);
      }
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
    // Behind what waited. Where the stream is full, or was, it emits 'drain' itself; where it has ended, nobody may write.
    process.nextTick(() => {
      if (this.#write !== undefined || !this.#owesDrain) return;
      if (socket.destroyed || socket.writableEnded || socket.writableNeedDrain) return;
      socket.emit('drain');
    });
  }
}
