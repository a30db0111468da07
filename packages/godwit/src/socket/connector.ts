/** How a socket comes by its session. The client registers itself here, since sockets lie in a layer below it. */
import { GodwitError } from '../errors.ts';
import type { SessionRequest } from './connect-options.ts';
import type { PortListener, SessionPort } from './port.ts';

/** Opens a session and tells the listener of it, later and never from within the call. */
export type Connector = (request: SessionRequest, listener: PortListener) => SessionPort;

let registered: Connector | undefined;

export function registerConnector(connector: Connector): void {
  registered = connector;
}

export function openSession(request: SessionRequest, listener: PortListener): SessionPort {
  if (registered === undefined)
    throw new GodwitError('ERR_GODWIT_INTERNAL', 'the client has not registered itself');
  return registered(request, listener);
}
