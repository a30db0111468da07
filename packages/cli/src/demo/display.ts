/** Shows a run while it goes on: bars that are redrawn on a terminal, plain lines anywhere else. */
import type { DemoStatus, Watcher } from './run-demo.ts';

/** How often the bars are redrawn. */
const REDRAW_MS = 100;

/** How often a plain line tells the progress. */
const LINE_MS = 2000;

const BAR_CELLS = 30;

export interface Display extends Watcher {
  /** Leaves the last state on the screen; nothing is drawn after. */
  close(): void;
}

export function openDisplay(stream: NodeJS.WriteStream): Display {
  const startedMs = performance.now();
  const stamp = (): string => `${((performance.now() - startedMs) / 1000).toFixed(1).padStart(5)} s`;
  let status: DemoStatus | undefined;
  let drawnLines = 0;

  const clear = (): string => (drawnLines === 0 ? '' : `\x1b[${drawnLines}A\x1b[0J`);
  const redraw = (above = ''): void => {
    const lines = status === undefined ? [] : drawStatus(status, (performance.now() - startedMs) / 1000);
    stream.write(clear() + above + lines.map((line) => `${line}\n`).join(''));
    drawnLines = lines.length;
  };
  const writeLine = (): void => {
    if (status !== undefined) stream.write(`${stamp()}  ${describe(status)}\n`);
  };

  const terminal = stream.isTTY;
  const timer = setInterval(
    () => (terminal ? redraw() : writeLine()),
    terminal ? REDRAW_MS : LINE_MS,
  ).unref();
  if (terminal) stream.write('\x1b[?25l');
  return {
    event(text) {
      const line = `${stamp()}  ${text}\n`;
      if (terminal) redraw(line);
      else stream.write(line);
    },
    progress(next) {
      status = next;
    },
    close() {
      clearInterval(timer);
      if (!terminal) return;
      redraw();
      stream.write('\x1b[?25h');
    },
  };
}

function drawStatus({ down, up, total, server, epoch, migrations }: DemoStatus, seconds: number): string[] {
  return [
    `  down ${drawBar(down / total)}  ${megabytes(down)} of ${megabytes(total)} MB  ${rate(down, seconds)}`,
    `  up   ${drawBar(up / total)}  ${megabytes(up)} of ${megabytes(total)} MB  ${rate(up, seconds)}`,
    `  at ${server || 'no server yet'}, epoch ${epoch}, ${migrations} migrations so far`,
  ];
}

function describe({ down, up, total, server, epoch, migrations }: DemoStatus): string {
  const percent = (bytes: number): string => `${Math.floor((100 * bytes) / total)} %`;
  return `down ${percent(down)}, up ${percent(up)}, at ${server}, epoch ${epoch}, ${migrations} migrations so far`;
}

function drawBar(share: number): string {
  const full = Math.round(share * BAR_CELLS);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CELLS - full)}] ${String(Math.floor(share * 100)).padStart(3)} %`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function rate(bytes: number, seconds: number): string {
  return `${(bytes / 1e6 / Math.max(seconds, 0.1)).toFixed(1)} MB/s`;
}
