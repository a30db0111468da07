/** What net does with options it has no use for, and with writes that come too late. */
import { BlockList } from 'node:net';
import type { Duplex } from 'node:stream';
import type { DialStep, KeepAlive } from '../carriers/carrier.ts';
import { GodwitError, argumentError } from '../errors.ts';
import { checkInteger, checkNumber, wrongType } from './argument-checks.ts';
import type { SocketOptions } from './connect-options.ts';
import type { WriteCallback } from './outbound.ts';

/** Throws what net throws for options that can't be, and ERR_GODWIT_UNSUPPORTED for what a session can't have. */
export function checkSocketOptions(options: SocketOptions | number): void {
  // A number is net's old way to say `fd`.
  if (typeof options === 'number') throw unsupported('fd');
  for (const name of ['objectMode', 'readableObjectMode', 'writableObjectMode']) {
    if (Reflect.get(options, name))
      throw argumentError(
        TypeError,
        'ERR_INVALID_ARG_VALUE',
        `The property 'options.${name}' is not supported. Received true`,
      );
  }
  for (const name of ['fd', 'handle']) if (Reflect.get(options, name) != null) throw unsupported(name);
  const { keepAliveInitialDelay, typeOfService, busyPollUs, blockList } = options;
  if (keepAliveInitialDelay !== undefined)
    checkNumber(keepAliveInitialDelay, 'options.keepAliveInitialDelay');
  if (typeOfService !== undefined) checkTypeOfService(typeOfService, 'options.typeOfService');
  checkBusyPoll(busyPollUs);
  checkBlockList(blockList);
}

export function checkBusyPoll(busyPollUs: unknown): void {
  if (busyPollUs !== undefined) checkInteger(busyPollUs, 'options.busyPollUs', 0, 1_000);
}

function unsupported(name: string): GodwitError {
  return new GodwitError(
    'ERR_GODWIT_UNSUPPORTED',
    `a migratory connection has no "${name}": its carriers come and go`,
  );
}

export function checkTypeOfService(value: unknown, name: string): void {
  checkInteger(Number.isNaN(value) ? undefined : value, name, 0, 255);
}

export function checkBlockList(blockList: unknown): void {
  if (blockList !== undefined && blockList !== null && !BlockList.isBlockList(blockList))
    throw wrongType('options.blockList', 'an instance of net.BlockList', blockList);
}

/** What `setKeepAlive` takes, times in milliseconds. */
export interface KeepAliveInput {
  readonly enable?: boolean | undefined;
  readonly initialDelay?: number | undefined;
  readonly interval?: number | undefined;
  readonly count?: number | undefined;
}

/** Reads both forms of the arguments of `setKeepAlive`. */
export function keepAliveOf(
  enable?: boolean | KeepAliveInput,
  initialDelay?: number,
  interval?: number,
  count?: number,
): KeepAlive {
  if (typeof enable === 'object' && enable !== null)
    return keepAliveOf(Boolean(enable.enable), enable.initialDelay, enable.interval, enable.count);
  const initialDelayMs = Math.max(initialDelay ?? 0, 0);
  return { enable: Boolean(enable), initialDelayMs, intervalMs: interval, count };
}

/**
 * Default of `writableHighWaterMark`, in bytes: four times what net has. The session takes writes as they come, so the
 * stream itself holds that much only while the session has no room; a writer of 64 KiB pieces, on the other hand, need
 * not wait for 'drain' after each.
 */
const WRITABLE_HIGH_WATER_BYTES = 256 * 1024;

/** Only what concerns the stream: options of `connect` come along, and `read` or `write` among them would replace methods. */
export function streamOptions(options: SocketOptions): object {
  const { highWaterMark, readableHighWaterMark, writableHighWaterMark } = options;
  return {
    ...(highWaterMark !== undefined && { highWaterMark }),
    ...(readableHighWaterMark !== undefined && { readableHighWaterMark }),
    writableHighWaterMark: writableHighWaterMark ?? highWaterMark ?? WRITABLE_HIGH_WATER_BYTES,
  };
}

export function notConnected(): GodwitError {
  return new GodwitError('ERR_GODWIT_NOT_CONNECTED', 'the socket has no session');
}

/** For a second `connect`. net's documentation leaves open what happens then. */
export function connectedAlready(isConnecting: boolean): GodwitError {
  const code = isConnecting ? 'EALREADY' : 'EISCONN';
  return new GodwitError(code, `connect ${code}`, { syscall: 'connect' });
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

/** The list of addresses tried is there only where there are several. */
export function noteAttempt(socket: { autoSelectFamilyAttemptedAddresses?: string[] }, step: DialStep): void {
  if (step.event !== 'connectionAttempt' || !step.isOneOfSeveral) return;
  const [address, port] = step.args;
  (socket.autoSelectFamilyAttemptedAddresses ??= []).push(`${address}:${port}`);
}
