/** Ports for servers that must know of each other before they listen. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';

/** Below come the well-known ones, and those of services. */
const LOWEST_PORT = 10_240;
const HIGHEST_PORT = 65_535;
/** From which a kernel gives out ports by itself, where it does not say. */
const EPHEMERAL_PORTS: readonly [number, number] = [32_768, 60_999];
/** Fewer ports are no choice. */
const ROOM_MIN = 1_000;
const ATTEMPTS_MAX = 1_000;

/**
 * Ports on 127.0.0.1 that were free a moment ago, and that no connection takes for its own end meanwhile: they are outside the
 * range from which the kernel gives those out, if that leaves any. Throws when none is free.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  const [lowest, highest] = ephemeralPorts();
  // Below them; where there is hardly any room, above; and else among them.
  const ranges = [
    [LOWEST_PORT, lowest - 1],
    [highest + 1, HIGHEST_PORT],
    [LOWEST_PORT, HIGHEST_PORT],
  ] as const;
  const [from, to] = ranges.find((range) => range[1] - range[0] >= ROOM_MIN) ?? ranges[2];
  for (let attempt = 0; attempt < ATTEMPTS_MAX && ports.size < count; attempt += 1) {
    const port = randomInt(from, to + 1);
    if (await isFree(port)) ports.add(port);
  }
  if (ports.size < count) throw new Error(`no ${count} free ports in ${from} … ${to}`);
  return [...ports];
}

function ephemeralPorts(): readonly [number, number] {
  try {
    const [lowest = 0, highest = 0] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
      .trim()
      .split(/\s+/)
      .map(Number);
    return [lowest, highest];
  } catch {
    return EPHEMERAL_PORTS;
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
