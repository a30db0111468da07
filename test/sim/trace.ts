/** What happens, in words, for those who read a transcript. */
import type { ClientEvent } from '../../packages/godwit/src/session/index.ts';
import type { DataPiece, Frame, PeerFrame } from '../../packages/godwit/src/wire/index.ts';

export function describeClientEvent(event: ClientEvent): string {
  switch (event.type) {
    case 'migrating':
      return `migrates from ${event.from} to ${event.to ?? 'elsewhere'} (${event.cause})`;
    case 'migrated': {
      const { from, to, source, epoch, attempts } = event.report;
      return `has migrated from ${from} to ${to} (source ${source}, epoch ${epoch}, ${attempts} attempts)`;
    }
    case 'migrationFailed':
      return `stays: ${event.failure.code} ${event.failure.message}`;
    case 'closed':
      return `is over: ${event.failure ? `${event.failure.code} ${event.failure.message}` : 'in order'}`;
    case 'dial':
      return `dials ${event.candidate.host}`;
    default:
      return event.type;
  }
}

/** Fields that say nothing to a reader, or too much. */
const DULL = new Set([
  'frame',
  'payload',
  'mac',
  'nonce',
  'keyShare',
  'triggerKey',
  'triggerKeyId',
  'otherTriggerKeyId',
  'head',
  'body',
]);

export function describeFrame(frame: Frame | DataPiece | PeerFrame): string {
  if (frame.frame === 'data') return `data (${frame.bytes.byteLength} bytes)`;
  const fields = Object.entries(frame)
    .filter(([name]) => !DULL.has(name))
    .map(([name, value]) => `${name} ${describeValue(value)}`);
  return fields.length === 0 ? frame.frame : `${frame.frame} (${fields.join(', ')})`;
}

function describeValue(value: unknown): string {
  if (value instanceof Uint8Array)
    return value.byteLength <= 16
      ? Buffer.from(value).toString('hex').slice(0, 8)
      : `${value.byteLength} bytes`;
  if (Array.isArray(value)) return `[${value.length}]`;
  return typeof value === 'string' ? `"${value}"` : String(value);
}
