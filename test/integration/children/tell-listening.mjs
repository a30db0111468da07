/** Preloaded: tells the parent process when a server of this process listens. */
import { tracingChannel } from 'node:diagnostics_channel';
import process from 'node:process';

tracingChannel('net.server.listen').subscribe({ asyncEnd: () => process.send?.('listening') });
