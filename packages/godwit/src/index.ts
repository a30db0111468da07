/**
 * Byte-stream connections whose server end can move, live, to another server, and which survive the death of a server
 * with not one byte lost, doubled or reordered. Everything that node:net exports is here too, so this module can take
 * its place: `import net from 'godwit'`.
 */
import net from 'node:net';
import { connect } from './client/connect.ts';
import { Server as ServerClass, createServer } from './server/server.ts';
import { callable } from './socket/callable.ts';
import { Socket as SocketClass } from './socket/socket.ts';

export {
  BlockList,
  SocketAddress,
  getDefaultAutoSelectFamily,
  getDefaultAutoSelectFamilyAttemptTimeout,
  isIP,
  isIPv4,
  isIPv6,
  setDefaultAutoSelectFamily,
  setDefaultAutoSelectFamilyAttemptTimeout,
} from 'node:net';
export type {
  AddressInfo,
  IpcNetConnectOpts,
  IpcSocketConnectOpts,
  ListenOptions,
  LookupFunction,
  NetConnectOpts,
  OnReadOpts,
  ServerOpts,
  SocketAddressInitOptions,
  SocketConnectOpts,
  SocketConstructorOpts,
  SocketReadyState,
  TcpNetConnectOpts,
  TcpSocketConnectOpts,
} from 'node:net';

/**
 * One end of a migratory connection; callable without `new`, as net's.
 *
 * @class
 */
export const Socket = callable(SocketClass);
export type Socket = SocketClass;
/** net's other name for `Socket`. */
export const Stream = Socket;
export type Stream = SocketClass;

/**
 * A server of migratory connections; callable without `new`, as net's.
 *
 * @class
 */
export const Server = callable(ServerClass);
export type Server = ServerClass;

export { connect, createServer };
/** net's other name for `connect`. */
export const createConnection = connect;

/** net's own; a `BoundSocket` binds a TCP address, and is undefined where node has none. */
const { BoundSocket, _createServerHandle, _normalizeArgs, _setSimultaneousAccepts } =
  net as unknown as Record<string, unknown>;
export { BoundSocket, _createServerHandle, _normalizeArgs, _setSimultaneousAccepts };

export { GodwitError, ERROR_CODES, type GodwitErrorCode, type SystemErrorPlace } from './errors.ts';
export {
  KeyRing,
  readKeyFile,
  reloadRing,
  ringFromEnvironment,
  ringFromFile,
  type KeyInput,
} from './crypto/index.ts';
export { MemoryNetwork } from './carriers/memory.ts';
export { TcpTransport } from './carriers/tcp.ts';
export { createLocalFence, type Fence, type FenceEntry, type LocalFenceOptions } from './cluster/fence.ts';
export type { MemberInput, MembersOption } from './cluster/members.ts';
export type {
  Carrier,
  CarrierClosed,
  CarrierHandlers,
  Dial,
  DialAddress,
  DialDone,
  DialOptions,
  Listener,
  ListenHandlers,
  ListenTarget,
  Transport,
} from './carriers/carrier.ts';
export {
  ServerSocket,
  type ExportOptions,
  type ExportedState,
  type Exporter,
  type Hold,
} from './server/server-socket.ts';
export type { DropArgument, Refusal, ServerEvents, ServerStats } from './server/server-events.ts';
export type { AuthorizationAnswer, AuthorizationRequest, Authorize } from './server/authorization.ts';
export type { ServerTlsOptions } from './server/server-tls.ts';
export type { ServerOptions } from './server/server-options.ts';
export type { OverloadChange } from './server/overload.ts';
export type { HalfOpenLimits } from './server/half-open.ts';
export type { GateLimits } from './server/preface-gate.ts';
export type { DrainOptions } from './server/drain.ts';
export type { ConnectOptions, ServerInput, SocketOptions } from './socket/connect-options.ts';
export type { SocketEvents } from './socket/events.ts';
export {
  defaultDetectors,
  overloadPolicy,
  pingDetector,
  stallDetector,
  throughputDetector,
  type Candidate,
  type Detector,
  type FenceRecord,
  type MigrationPhases,
  type MigrationReport,
  type EndBy,
  type OverloadOptions,
  type OverloadPolicy,
  type PingOptions,
  type Relief,
  type ServerLoad,
  type ServerLimits,
  type ServerTimers,
  type StallOptions,
  type ThroughputOptions,
  type VitalSigns,
} from './session/index.ts';

export { Cause, type CauseName, type ServerAddress, type SourceName } from './wire/index.ts';

/** What `import net from 'godwit'` gives: this module, with its types, as net's default export is net. */
export * as default from './index.ts';
