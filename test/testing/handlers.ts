/** A handler that is right, and its faults, each as somebody might write it. */
import type { ServerSocket } from 'godwit';
import type { Handler } from 'godwit/testing';

export const LINES = 'alpha\nbeta\ngamma\ndelta\nepsilon\n';

export interface LineState {
  count: number;
  consumed: number;
}

export interface Faults {
  /** What the handler takes a chunk for. Default: bytes, of which a line may be a part. */
  readonly split?: (text: string) => string[];
  readonly answer?: (line: string, count: number, socket: ServerSocket) => string;
  readonly exported?: (state: LineState, rest: string) => LineState;
  readonly bytesConsumed?: (state: LineState, rest: string) => number | undefined;
  readonly imported?: (state: LineState) => LineState;
  readonly effectKey?: (socket: ServerSocket, at: number) => string;
  /** Called as the first thing of an execution. */
  readonly started?: (socket: ServerSocket, execution: number, state: LineState) => void;
}

/** Numbers its client's lines. State: how many there were, and where the next one begins. */
export function numberLines(faults: Faults = {}): Handler {
  return (socket, { effects, execution }) => {
    const imported = socket.importState((bytes) => JSON.parse(bytes.toString()) as LineState);
    const state = faults.imported?.(imported ?? { count: 0, consumed: 0 }) ??
      imported ?? { count: 0, consumed: 0 };
    let rest = '';
    socket.onExportState(() => {
      const bytesConsumed =
        faults.bytesConsumed === undefined ? state.consumed : faults.bytesConsumed(state, rest);
      return {
        state: JSON.stringify(faults.exported?.(state, rest) ?? state),
        ...(bytesConsumed !== undefined && { bytesConsumed }),
      };
    });
    faults.started?.(socket, execution, state);
    socket.on('data', (chunk: Buffer) => {
      const lines = faults.split?.(chunk.toString()) ?? (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const key = faults.effectKey?.(socket, state.consumed) ?? socket.idempotencyKey(state.consumed);
        state.count += 1;
        state.consumed += line.length + 1;
        effects.record(key, line);
        socket.write(faults.answer?.(line, state.count, socket) ?? `${state.count} ${line.toUpperCase()}\n`);
      }
    });
  };
}
