/** What the module exports. */
import nodeNet from 'node:net';
import type { Check } from './rows.ts';

/** Functions and classes that have nothing to do with connections are net's own. */
const isNets =
  (name: string): Check =>
  ({ exports }) =>
    exports[name] === (nodeNet as unknown as Record<string, unknown>)[name];

export const exportRows: Record<string, Check> = {
  'net.connect': ({ exports }) => [typeof exports.connect, exports.connect === exports.createConnection],
  'net.createConnection': ({ exports }) => typeof exports.createConnection,
  'net.createServer': ({ exports, net }) => [
    typeof exports.createServer,
    net.createServer() instanceof net.Server,
  ],
  'net.Socket': ({ exports, net }) => {
    const { Socket } = exports as unknown as { Socket: () => object };
    return [Socket() instanceof net.Socket, net.Socket.name, new net.Socket().constructor === net.Socket];
  },
  'net.Stream': ({ exports }) => exports.Stream === exports.Socket,
  'net.Server': ({ exports, net }) => {
    const { Server } = exports as unknown as { Server: () => object };
    return [Server() instanceof net.Server, net.Server.name, new net.Server().constructor === net.Server];
  },
  'net.BlockList': isNets('BlockList'),
  'net.SocketAddress': isNets('SocketAddress'),
  'net.BoundSocket': isNets('BoundSocket'),
  'net.isIP': isNets('isIP'),
  'net.isIPv4': isNets('isIPv4'),
  'net.isIPv6': isNets('isIPv6'),
  'net.getDefaultAutoSelectFamily': isNets('getDefaultAutoSelectFamily'),
  'net.setDefaultAutoSelectFamily': isNets('setDefaultAutoSelectFamily'),
  'net.getDefaultAutoSelectFamilyAttemptTimeout': isNets('getDefaultAutoSelectFamilyAttemptTimeout'),
  'net.setDefaultAutoSelectFamilyAttemptTimeout': isNets('setDefaultAutoSelectFamilyAttemptTimeout'),
};
