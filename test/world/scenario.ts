/** What most tests begin and end with: a transfer between a client and three servers, and its exact output. */
import assert from 'node:assert/strict';
import { Delivery } from '../../packages/godwit/src/wire/index.ts';
import { assertNoLeaks } from './leaks.ts';
import { pattern, transformApp, transformed, type ServerAppFactory } from './server-apps.ts';
import type { VirtualClient, VirtualClientOptions } from './virtual-client.ts';
import type { VirtualServer, VirtualServerOptions } from './virtual-server.ts';
import { World, type WorldOptions } from './world.ts';

export const MODES = [
  { name: 'replay', delivery: Delivery.Replay },
  { name: 'commit', delivery: Delivery.Commit },
] as const;

export interface ScenarioOptions {
  readonly delivery?: Delivery;
  readonly servers?: readonly string[];
  readonly app?: ServerAppFactory;
  readonly server?: Partial<VirtualServerOptions>;
  readonly client?: Partial<VirtualClientOptions>;
  readonly latencyMs?: number;
  readonly world?: WorldOptions;
  readonly seed?: number;
  /** Bytes the client uploads; the server answers each with one. */
  readonly length?: number;
}

export class Scenario {
  readonly world: World;
  readonly client: VirtualClient;
  readonly input: Uint8Array;

  constructor(options: ScenarioOptions = {}) {
    const {
      delivery = Delivery.Replay,
      servers = ['a', 'b', 'c'],
      latencyMs = 1,
      seed = 1,
      length = 200_000,
    } = options;
    this.world = new World({ seed, latencyMs, ...options.world });
    const app = options.app ?? transformApp({ exports: delivery === Delivery.Commit ? 4096 : 'pulled' });
    this.world.addServers(servers, { delivery, app, ...options.server });
    this.client = this.world.connect({ servers: [servers[0] as string], ...options.client });
    this.input = pattern(length, 7);
    this.client.write(this.input);
  }

  get origin(): VirtualServer {
    return this.world.serving(this.client);
  }

  /** The output so far is at least so long. */
  untilReceived(bytes: number): void {
    this.world.until(() => this.client.receivedBytes >= bytes, 60_000, `output up to ${bytes}`);
  }

  /** Sends an in-band TRIGGER from the serving server. */
  trigger(to: string | undefined): void {
    const { origin } = this;
    const session = origin.node.session(this.client.session.id);
    assert.ok(session);
    origin.node.migrate(
      this.world.now,
      session,
      to === undefined ? undefined : { name: to, host: to, port: 1 },
    );
    origin.poke();
  }

  untilMigrated(count: number): void {
    this.world.until(() => this.client.migrations.length >= count, 60_000, `migration ${count}`);
  }

  /** Ends the input and runs to the end. */
  finish(): void {
    this.client.end();
    this.world.until(() => this.client.closed !== undefined, 120_000, 'the end');
  }

  /** The client got exactly the answer to all of its input, in order, and nobody keeps anything. */
  assertExact(expected: Uint8Array = transformed(this.input, 0)): void {
    assert.deepEqual(this.client.closed, { failure: undefined });
    assert.equal(this.client.receivedBytes, expected.byteLength);
    assert.ok(Buffer.from(this.client.received).equals(Buffer.from(expected)), 'the output is exact');
    assert.equal(this.client.ended, true);
    assertNoLeaks(this.world, this.client);
  }

  finishExactly(): void {
    this.finish();
    this.assertExact();
  }
}
