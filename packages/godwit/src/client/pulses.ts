/** Which sessions of this process learn together how their servers are: those that take the same way there. */
import type { Transport } from '../carriers/carrier.ts';
import { ServerPulses } from '../session/index.ts';

const anywhere = new WeakMap<Transport, ServerPulses>();

/** Undefined where the session leaves from an address of its own. */
export function pulsesOf(transport: Transport, localAddress: string | undefined): ServerPulses | undefined {
  if (localAddress !== undefined) return undefined;
  let pulses = anywhere.get(transport);
  if (pulses === undefined) {
    pulses = new ServerPulses();
    anywhere.set(transport, pulses);
  }
  return pulses;
}
