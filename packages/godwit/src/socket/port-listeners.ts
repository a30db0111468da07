/** What a socket's listener to its session is made of. */
import type { EventEmitter } from 'node:events';
import type { PortListener } from './port.ts';

/** What a session tells that its socket passes on as events, and no more. */
export function eventsOf(
  socket: EventEmitter,
): Pick<PortListener, 'migrating' | 'unprotected' | 'protected' | 'servers'> {
  return {
    migrating: (cause, from, to) => void socket.emit('migrating', { cause, from, to }),
    unprotected: (reason) => void socket.emit('unprotected', reason),
    protected: () => void socket.emit('protected'),
    servers: (servers) => void socket.emit('servers', servers),
  };
}

/** The same listener, deaf while the condition does not hold. */
export function listenWhile(isOurs: () => boolean, listener: PortListener): PortListener {
  const calls = Object.entries(listener) as [string, (...args: unknown[]) => void][];
  const guarded = calls.map(([name, call]): (typeof calls)[number] => [
    name,
    (...args) => {
      if (isOurs()) call(...args);
    },
  ]);
  return Object.fromEntries(guarded) as unknown as PortListener;
}
