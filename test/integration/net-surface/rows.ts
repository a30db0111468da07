/** What is tried of each name that net has: the answer must be the same for both, or docs/net.md tells of the difference. */
import { exportRows } from './exports.ts';
import { eventRows } from './events.ts';
import { optionRows } from './options.ts';
import { serverRows } from './server.ts';
import { socketRows } from './socket.ts';
import type { World } from './world.ts';

/** Answers something to compare, or throws an error whose name and code are compared. */
export type Check = (world: World) => unknown;

export const ROWS: Readonly<Record<string, Check>> = {
  ...exportRows,
  ...optionRows,
  ...socketRows,
  ...serverRows,
  ...eventRows,
};
