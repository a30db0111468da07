/**
 * A session over three servers next to a model of it: so many bytes were written, so many must come back, each once, in
 * order, whatever happened to carriers and servers meanwhile.
 */
import fc from 'fast-check';
import { KeyRing } from '../../../packages/godwit/src/crypto/index.ts';
import { Delivery } from '../../../packages/godwit/src/wire/index.ts';
import { pattern, transformApp, transformed } from '../../world/server-apps.ts';
import type { VirtualClient } from '../../world/virtual-client.ts';
import { World } from '../../world/world.ts';
import { hold } from '../engine/target.ts';
import { command, modelTarget } from './model.ts';

const SERVERS = ['a', 'b', 'c'];
const INPUT = pattern(1 << 20, 3);

/** By then every fault that heals has healed, in ms. */
const HEALED_MS = 60_000;

/** Longer than all timers that may still end something, in ms. */
const SETTLE_MS = 110_000;

interface Conversation {
  written: number;
  ended: boolean;
  /** The one server that is not well: the others take its place. */
  unwell: { readonly name: string; readonly how: 'dead' | 'stopped' | 'cut off' } | undefined;
}

interface Real {
  readonly world: World;
  readonly client: VirtualClient;
}

const server = fc.constantFrom(...SERVERS);

export const sessionReplay = sessionModel('sessionReplay', Delivery.Replay);
export const sessionCommit = sessionModel('sessionCommit', Delivery.Commit);

function sessionModel(name: string, delivery: Delivery) {
  return modelTarget<Conversation, Real>({
    name,
    summary: `a session in ${delivery === Delivery.Commit ? 'commit' : 'replay'} delivery, its carriers and servers failing one at a time`,
    maxCommands: 30,
    setup: () => {
      const world = new World({ seed: 1, ring: new KeyRing(new Uint8Array(32).fill(1)) });
      world.keepsTranscript = false;
      world.addServers(SERVERS, {
        delivery,
        app: transformApp({ exports: delivery === Delivery.Commit ? 2048 : 'pulled' }),
        limits: { snapshotIntervalBytes: 8192, outputTailBytes: 32_768, inputLogBytes: 16_384 },
        timers: { snapshotIntervalMs: 200 },
      });
      const client = world.connect({ servers: SERVERS, limits: { receiveWindowBytes: 65_536 } });
      world.run(10);
      return { model: { written: 0, ended: false, unwell: undefined }, real: { world, client } };
    },
    commands: [
      fc.oneof(fc.nat(50), fc.nat(5000), fc.nat(60_000)).map((count) =>
        command(
          `write ${count}`,
          (model, { client }) => {
            client.write(INPUT.subarray(model.written, model.written + count));
            model.written += count;
          },
          (model) => !model.ended && model.written + 60_000 < INPUT.byteLength,
        ),
      ),
      fc
        .oneof(fc.nat(3), fc.nat(60), fc.nat(3000))
        .map((ms) => command(`wait ${ms}`, (_, { world }) => world.run(ms))),
      fc.constant(
        command(
          'end',
          (model, { client }) => {
            client.end();
            model.ended = true;
          },
          (model) => !model.ended,
        ),
      ),
      fc.boolean().map((reads) =>
        command(reads ? 'read on' : 'read no more', (_, { client }) => {
          client.autoRead = reads;
          if (reads) client.read();
        }),
      ),
      fc.constant(
        command('the carrier breaks', (_, { world, client }) => {
          for (const pipe of client.pipesTo(client.session.serverName)) pipe.cut();
          world.run(1);
        }),
      ),
      fc.option(server).map((to) =>
        command(`the client moves to ${String(to)}`, (_, { client }) =>
          client.do((session, now) =>
            session.migrate(now, {
              to: to === null ? undefined : { name: to, host: to, port: 1 },
              cause: 4,
            }),
          ),
        ),
      ),
      fc.option(server).map((to) =>
        command(`the server asks it to move to ${String(to)}`, (_, { world, client }) => {
          for (const each of world.servers.values()) {
            const session = each.isAlive ? each.node.session(client.session.id) : undefined;
            if (!session) continue;
            each.inside(() => {
              each.node.migrate(each.now, session, to === null ? undefined : { name: to, host: to, port: 1 });
            });
          }
        }),
      ),
      server.map((name) => command(`a standby to ${name}`, (_, { client }) => client.standby(name))),
      server.map((name) =>
        command(
          `${name} is killed`,
          (model, { world }) => {
            world.server(name).kill();
            model.unwell = { name, how: 'dead' };
          },
          (model) => model.unwell === undefined,
        ),
      ),
      server.map((name) =>
        command(
          `${name} is killed and started again`,
          (_, { world }) => {
            world.server(name).kill();
            world.start(name);
          },
          (model) => model.unwell === undefined,
        ),
      ),
      server.map((name) =>
        command(
          `${name} is stopped`,
          (model, { world }) => {
            world.server(name).suspend();
            model.unwell = { name, how: 'stopped' };
          },
          (model) => model.unwell === undefined,
        ),
      ),
      server.map((name) =>
        command(
          `${name} is cut off from the client`,
          (model, { world }) => {
            world.partition('client', name);
            model.unwell = { name, how: 'cut off' };
          },
          (model) => model.unwell === undefined,
        ),
      ),
      fc.constant(
        command(
          'it is well again',
          (model, { world }) => heal(model, world),
          (model) => model.unwell !== undefined,
        ),
      ),
    ],
    invariant: (model, { client }) => {
      const { received } = client;
      const expected = transformed(INPUT.subarray(0, received.byteLength), 0);
      hold(
        'others unharmed',
        received.byteLength <= model.written,
        () => `${received.byteLength} bytes came, of ${model.written}`,
      );
      hold(
        'others unharmed',
        Buffer.from(received).equals(Buffer.from(expected)),
        () => 'the output is not exact',
      );
    },
    finish: (model, { world, client }) => {
      heal(model, world);
      client.autoRead = true;
      client.read();
      if (!model.ended) client.end();
      const until = world.now + HEALED_MS;
      while (client.closed === undefined && world.now < until) world.run(100);
      hold(
        'no hang',
        client.closed !== undefined,
        () => `${client.receivedBytes} of ${model.written} bytes came, then nothing`,
      );
      const { failure } = client.closed;
      hold('others unharmed', failure === undefined, () => JSON.stringify(failure));
      hold(
        'others unharmed',
        client.receivedBytes === model.written && client.ended,
        () => 'bytes are missing at the end',
      );
      world.run(SETTLE_MS);
      for (const each of world.servers.values()) {
        const { tombstones: _, ...population } = each.node.population;
        hold(
          'bounded memory',
          Object.values(population).every((count) => count === 0),
          () => {
            return `${each.address.name} keeps ${JSON.stringify(population)}`;
          },
        );
      }
    },
  });
}

function heal(model: Conversation, world: World): void {
  const { unwell } = model;
  model.unwell = undefined;
  if (unwell?.how === 'dead') world.start(unwell.name);
  else if (unwell?.how === 'stopped') world.server(unwell.name).resume();
  else world.heal();
}
