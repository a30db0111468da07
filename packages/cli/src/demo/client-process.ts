/**
 * Entry of the client process. What it does with its socket (`transfer`) is written as for `node:net`; all that is in here
 * besides reports what happens to the process that started it.
 */
import { connect } from 'godwit';
import type { MigrationReport } from 'godwit';
import { GapMeter } from './gap-meter.ts';
import type { ClientConfig, ClientMessage } from './messages.ts';
import { transfer } from './transfer.ts';

/** How long after a migration gaps still count as its own: time for a second, late one. */
const SETTLE_MS = 250;

const { servers, progressBytes, ...job } = JSON.parse(process.argv[2] ?? '') as ClientConfig;
const gaps = new GapMeter();
let reported = 0;
let delivered = 0;
let unsettled: { report: MigrationReport; timer: NodeJS.Timeout } | undefined;

process.on('disconnect', () => process.exit());

const socket = connect({ servers });
socket.on('connect', () => tell({ type: 'connected', server: socket.currentServer?.name ?? '' }));
socket.on('migrating', ({ cause }) => {
  settle();
  gaps.open();
  tell({ type: 'migrating', cause });
});
socket.on('migrated', (report) => {
  tell({ type: 'attached', server: report.to, epoch: report.epoch });
  gaps.awaitDelivery();
  unsettled = { report, timer: setInterval(() => gaps.hasDelivered && settle(), SETTLE_MS) };
});

try {
  const result = await transfer(socket, {
    ...job,
    onProgress: (down, up) => {
      if (down > delivered) gaps.deliver(performance.now());
      delivered = down;
      if (down + up < reported + progressBytes) return;
      reported = down + up;
      tell({ type: 'progress', down, up });
    },
  });
  settle();
  tell({ type: 'done', result });
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  tell({ type: 'failed', message: code === undefined ? message : `${code}: ${message}` });
}
process.disconnect();

/** The last migration is over: tells what it cost. */
function settle(): void {
  if (unsettled === undefined) return;
  const { report, timer } = unsettled;
  unsettled = undefined;
  clearInterval(timer);
  const { cause, from, to, source, epoch, attempts, phases } = report;
  const blackoutMs = gaps.close();
  tell({ type: 'migrated', migration: { cause, from, to, source, epoch, attempts, phases, blackoutMs } });
}

function tell(message: ClientMessage): void {
  if (process.connected) process.send?.(message);
}
