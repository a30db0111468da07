/** The transport of whoever names none. One for the process, so that sessions share their standby carriers. */
import { TcpTransport } from '../carriers/tcp.ts';

export const defaultTransport = new TcpTransport();
