/** Whom a server lets near before it hears a word of him: nobody who is blocked, and no more at a time than it bears. */
import { isIP, type BlockList } from 'node:net';
import type { Failure } from '../session/client-events.ts';
import type { HalfOpen } from './half-open.ts';

/** Why a peer at this address is closed at once; undefined when it is not. */
export function objectionTo(
  address: string | undefined,
  blockList: BlockList | undefined,
  halfOpen: HalfOpen,
): Failure | undefined {
  const family = address === undefined ? 0 : isIP(address);
  if (address !== undefined && family !== 0 && blockList?.check(address, family === 6 ? 'ipv6' : 'ipv4'))
    return { code: 'ERR_IP_BLOCKED', message: `IP(${address}) is blocked by net.BlockList` };
  const message = halfOpen.objectionTo(address);
  return message === undefined ? undefined : { code: 'ERR_GODWIT_LIMIT_EXCEEDED', message };
}
