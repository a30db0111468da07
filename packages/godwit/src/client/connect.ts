/** `connect` and `createConnection`, in the shape of net's. Importing this is what lets sockets connect. */
import { readConnectArguments, type ConnectOptions } from '../socket/connect-options.ts';
import { registerConnector } from '../socket/connector.ts';
import { Socket } from '../socket/socket.ts';
import { ClientDriver } from './client-driver.ts';

registerConnector((request, listener) => new ClientDriver(request, listener));

/**
 * Opens a session: `connect(port[, host][, listener])`, `connect(path[, listener])` or `connect(options[, listener])`. With `servers` the session
 * may begin at any of them; servers tell it of others. Fails with net's codes: ECONNREFUSED, ETIMEDOUT, ENOTFOUND, …
 *
 * Throws what net throws for arguments that are wrong by themselves (ERR_MISSING_ARGS, ERR_SOCKET_BAD_PORT,
 * ERR_INVALID_ARG_TYPE, …), ERR_GODWIT_OPTION_UNKNOWN, and ERR_GODWIT_UNSUPPORTED for `fd` and `handle`.
 */
export function connect(options: ConnectOptions, listener?: () => void): Socket;
export function connect(port: number | string, host?: string, listener?: () => void): Socket;
export function connect(portOrPath: number | string, listener?: () => void): Socket;
export function connect(...args: unknown[]): Socket {
  const { options, listener } = readConnectArguments(args);
  const socket = new Socket(options);
  if (options.timeout) socket.setTimeout(options.timeout);
  return socket.connect(options, listener);
}
