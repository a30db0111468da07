/** Ports for servers that must know of each other before they listen. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';

/** Below come the well-known ones, and those of services. */
const LOWEST_PORT = 10_240;
/** Of a system that does not say. */
const LOWEST_EPHEMERAL_PORT = 32_768;
const ATTEMPTS_MAX = 1_000;

/**
 * Ports on 127.0.0.1 that were free a moment ago, and that no connection takes for its own end meanwhile: they are below the
 * range from which the kernel gives those out. Throws when there are none.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  const end = lowestEphemeralPort();
  for (let attempt = 0; attempt < ATTEMPTS_MAX && ports.size < count; attempt += 1) {
    const port = randomInt(LOWEST_PORT, end);
    if (await isFree(port)) ports.add(port);
  }
  if (ports.size < count) throw new Error(`no ${count} free ports in ${LOWEST_PORT} … ${end - 1}`);
  return [...ports];
}

function lowestEphemeralPort(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s/)[0]);
  } catch {
    return LOWEST_EPHEMERAL_PORT;
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = net.createServer();
  const isListening = once(server, 'listening').then(
    () => true,
    () => false,
  );
  server.listen(port, '127.0.0.1');
  if (!(await isListening)) return false;
  await once(server.close(), 'close');
  return true;
}
