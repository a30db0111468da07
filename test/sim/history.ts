/**
 * Who executed what. Each start of the server's application is an execution; a restored one goes on from a snapshot of an
 * earlier one. Those that the client went along with are the surviving history: its bytes are what counts.
 */

export interface Execution {
  readonly id: number;
  readonly sessionId: string;
  readonly server: string;
  /** The epoch under which it began. */
  readonly epoch: number;
  /** Whose snapshot it began with; undefined at the session's very start. */
  readonly parent: Execution | undefined;
  /** Where it began. */
  readonly input: number;
  readonly output: number;
  /** Output bytes that were left to chance, by offset. */
  readonly chance: Map<number, number>;
  /** It let go of the session, or ended it, by itself. */
  ending: 'destroyed' | 'reset' | undefined;
}

export class History {
  readonly #executions: Execution[] = [];
  readonly #surviving = new Map<string, Execution>();

  begin(start: Omit<Execution, 'id' | 'chance' | 'ending'>): Execution {
    const execution: Execution = {
      ...start,
      id: this.#executions.length + 1,
      chance: new Map(),
      ending: undefined,
    };
    this.#executions.push(execution);
    return execution;
  }

  find(id: number): Execution | undefined {
    return this.#executions[id - 1];
  }

  /** The newest execution of a session at a server, that began under `epoch` if one is given. */
  at(sessionId: string, server: string, epoch?: number): Execution | undefined {
    return this.#executions.findLast(
      (execution) =>
        execution.sessionId === sessionId &&
        execution.server === server &&
        (epoch === undefined || execution.epoch === epoch),
    );
  }

  /** The one that an OPEN of that epoch began: strangers who repeat it come later. */
  opened(sessionId: string, server: string, epoch: number): Execution | undefined {
    return this.#executions.find(
      (execution) =>
        execution.sessionId === sessionId && execution.server === server && execution.epoch === epoch,
    );
  }

  surviving(sessionId: string): Execution | undefined {
    return this.#surviving.get(sessionId);
  }

  /** The client goes on with this one. Answers false when it does not follow from the history that survived so far. */
  survives(execution: Execution): boolean {
    const before = this.#surviving.get(execution.sessionId);
    this.#surviving.set(execution.sessionId, execution);
    if (before === undefined || before === execution || execution.parent === undefined) return true;
    for (let ancestor: Execution | undefined = before; ancestor; ancestor = ancestor.parent)
      if (ancestor === execution.parent) return true;
    return false;
  }

  /** The output of the surviving history: the content, with what was left to chance as it came out. */
  output(sessionId: string, content: Uint8Array): Uint8Array {
    let execution = this.#surviving.get(sessionId);
    let copy: Uint8Array | undefined;
    let end = Infinity;
    for (; execution; execution = execution.parent) {
      for (const [offset, byte] of execution.chance)
        if (offset < end && offset >= execution.output) (copy ??= content.slice())[offset] = byte;
      end = execution.output;
    }
    return copy ?? content;
  }
}
