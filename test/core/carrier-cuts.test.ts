/** A carrier that breaks behind any byte, either way: while opening, while migrating, while nothing special goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Delivery } from '../../packages/godwit/src/wire/index.ts';
import type { Pipe } from '../world/pipe.ts';
import { MODES, Scenario } from '../world/scenario.ts';
import { transformed } from '../world/server-apps.ts';

/** The sweep goes over so many bytes of a direction: each of those that set the session up, and some of the rest. */
const SWEEP_BYTES = 2048;
const EVERY_BYTE_BELOW = 640;
const STEP_BYTES = 13;
const DIRECTIONS = [
  { end: 0, name: 'what the client sends' },
  { end: 1, name: 'what the server sends' },
] as const;

/** Runs `scenario` for every offset, and reports all that fail. */
function sweep(run: (offset: number) => void, step = 1): void {
  const failures: string[] = [];
  for (let offset = 0; offset < SWEEP_BYTES; offset += offset < EVERY_BYTE_BELOW ? step : STEP_BYTES) {
    try {
      run(offset);
    } catch (error) {
      failures.push(`behind byte ${offset}: ${(error as Error).stack}`);
    }
  }
  assert.equal(failures.length, 0, failures.slice(0, 5).join('\n'));
}

function small(delivery: Delivery, servers: string[]): Scenario {
  return new Scenario({ delivery, length: 3000, servers, client: { servers } });
}

/** Cuts the first carrier that is dialled from now on. */
function cutNext(scenario: Scenario, end: 0 | 1, offset: number): void {
  let armed = true;
  scenario.world.onDial = (_: string, pipe: Pipe) => {
    if (armed) pipe.cutAfter[end] = offset;
    armed = false;
  };
}

for (const { name: mode, delivery } of MODES) {
  for (const { end, name } of DIRECTIONS) {
    test(`an opening whose carrier breaks behind any byte of ${name} goes on at another server (${mode})`, () => {
      sweep((offset) => {
        const scenario = small(delivery, ['a', 'b']);
        cutNext(scenario, end, offset);
        scenario.finishExactly();
      }, delivery + 1);
    });

    test(`a migration whose carrier breaks behind any byte of ${name} leaves the transfer exact (${mode})`, () => {
      sweep((offset) => {
        const scenario = small(delivery, ['a', 'b']);
        scenario.world.until(() => scenario.client.session.state === 'attached');
        cutNext(scenario, end, offset);
        scenario.trigger(scenario.client.session.serverName === 'a' ? 'b' : 'a');
        scenario.world.run(20);
        scenario.finishExactly();
      }, delivery + 1);
    });

    test(`a carrier that breaks behind any byte of ${name} is replaced by one to the same server (${mode})`, () => {
      sweep((offset) => {
        const scenario = small(delivery, ['a']);
        scenario.world.until(() => scenario.client.session.state === 'attached');
        const [pipe] = scenario.client.pipesTo('a');
        assert.ok(pipe);
        pipe.cutAfter[end] = pipe.sent(end) + offset;
        scenario.client.write(scenario.input);
        scenario.finish();
        scenario.assertExact(transformed(Buffer.concat([scenario.input, scenario.input]), 0));
        for (const report of scenario.client.migrations) assert.equal(report.source, 'resume');
      }, 3);
    });
  }
}

test('a carrier breaks while a standby to another server is ready: the standby is not wasted on the way back', () => {
  for (const { delivery } of MODES) {
    const scenario = new Scenario({ delivery, client: { servers: ['a', 'b'] } });
    scenario.untilReceived(20_000);
    const here = scenario.client.session.serverName;
    const there = here === 'a' ? 'b' : 'a';
    scenario.client.standby(there);
    scenario.world.run(10);
    for (const pipe of scenario.client.pipesTo(here)) pipe.cut();
    scenario.untilMigrated(1);
    const [report] = scenario.client.migrations;
    assert.equal(report?.to, there);
    assert.equal(report?.phases.connect, 0);
    scenario.finishExactly();
  }
});
