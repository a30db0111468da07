/** What net does with options it has no use for, and with writes that come too late. */
import type { Duplex } from 'node:stream';
import { GodwitError, argumentError } from '../errors.ts';
import type { SocketOptions } from './connect-options.ts';
import type { WriteCallback } from './outbound.ts';

export function refuseUnsupported(options: object): void {
  for (const name of ['objectMode', 'readableObjectMode', 'writableObjectMode']) {
    if (Reflect.get(options, name))
      throw argumentError(
        TypeError,
        'ERR_INVALID_ARG_VALUE',
        `The property 'options.${name}' is not supported. Received true`,
      );
  }
  for (const name of ['onread', 'fd', 'handle']) {
    if (Reflect.get(options, name) != null)
      throw new GodwitError('ERR_GODWIT_UNSUPPORTED', `a migratory connection has no "${name}"`);
  }
}

/** Only what concerns the stream: options of `connect` come along, and `read` or `write` among them would replace methods. */
export function streamOptions(options: SocketOptions): object {
  const { highWaterMark, readableHighWaterMark, writableHighWaterMark } = options;
  const given = { highWaterMark, readableHighWaterMark, writableHighWaterMark };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

export function notConnected(): GodwitError {
  return new GodwitError('ERR_GODWIT_NOT_CONNECTED', 'the socket has no session');
}

export function brokenPipe(): GodwitError {
  return new GodwitError('EPIPE', 'This socket has been ended by the other party', { syscall: 'write' });
}

/** Takes the place of `write` once the peer has ended, as in net: the error says why, not just that the stream ended. */
export function writeAfterEnd(this: Duplex, _chunk: unknown, ...rest: unknown[]): boolean {
  const error = brokenPipe();
  const callback = rest.find((argument) => typeof argument === 'function') as WriteCallback | undefined;
  if (callback !== undefined) process.nextTick(callback, error);
  this.destroy(error);
  return false;
}
