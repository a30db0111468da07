/** DeadlineHeap and Deadlines next to a list of deadlines. */
import fc from 'fast-check';
import { DeadlineHeap, type DeadlineOwner } from '../../../packages/godwit/src/session/deadline-heap.ts';
import { Deadlines } from '../../../packages/godwit/src/session/deadlines.ts';
import { NO_HANDLE } from '../../../packages/godwit/src/session/time-heap.ts';
import { hold } from '../engine/target.ts';
import { command, modelTarget } from './model.ts';

const OWNERS = 12;

class Owner implements DeadlineOwner {
  nextTimeout: number | undefined;
  deadlineHandle = NO_HANDLE;
  fired = 0;
  /** What it does when its time has come: nothing, or wait again. */
  again: number | undefined;

  handleTimeout(): void {
    this.fired += 1;
    this.nextTimeout = this.again;
    this.again = undefined;
  }
}

interface Times {
  now: number;
  /** Owners in the heap, with the time at which they fire. */
  readonly armed: Map<number, number>;
  readonly named: Map<string, number>;
}

interface Real {
  readonly heap: DeadlineHeap;
  readonly owners: readonly Owner[];
  readonly table: Deadlines<string>;
}

const owner = fc.nat(OWNERS - 1);
const delay = fc.nat(40);
const name = fc.constantFrom('a', 'b', 'c');

export const deadlines = modelTarget<Times, Real>({
  name: 'deadlines',
  summary: 'DeadlineHeap and Deadlines next to a list of times: each fires once, in order, when it is due',
  maxCommands: 100,
  setup: () => ({
    model: { now: 0, armed: new Map(), named: new Map() },
    real: {
      heap: new DeadlineHeap(),
      owners: Array.from({ length: OWNERS }, () => new Owner()),
      table: new Deadlines(),
    },
  }),
  commands: [
    fc.tuple(owner, delay).map(([index, ms]) =>
      command(`arm ${index} in ${ms}`, (model, { heap, owners }) => {
        const armed = owners[index] as Owner;
        armed.nextTimeout = model.now + ms;
        heap.arm(armed);
        model.armed.set(index, model.now + ms);
      }),
    ),
    owner.map((index) =>
      command(`disarm ${index}`, (model, { heap, owners }) => {
        heap.disarm(owners[index] as Owner);
        model.armed.delete(index);
      }),
    ),
    owner.map((index) =>
      command(`${index} waits for nothing`, (model, { owners }) => {
        (owners[index] as Owner).nextTimeout = undefined; // the heap looks when its time comes
        model.armed.delete(index);
      }),
    ),
    fc.tuple(owner, delay).map(([index, ms]) =>
      command(`${index} waits again for ${ms}`, (model, { owners }) => {
        (owners[index] as Owner).again = model.now + 50 + ms;
      }),
    ),
    delay.map((ms) =>
      command(`run for ${ms}`, (model, { heap, owners }) => {
        model.now += ms;
        const before = owners.map(({ fired }) => fired);
        const again = owners.map((each) => each.again);
        const count = heap.run(model.now);
        let due = 0;
        for (const [index, each] of owners.entries()) {
          const isDue = (model.armed.get(index) ?? Infinity) <= model.now;
          const fired = each.fired - (before[index] as number);
          if (isDue) due += 1;
          const at = again[index];
          const twice = isDue && at !== undefined && at <= model.now;
          hold(
            'as its model',
            fired === (isDue ? (twice ? 2 : 1) : 0),
            () => `${index} fired ${fired} times`,
          );
          if (!isDue) continue;
          if (at !== undefined && !twice) model.armed.set(index, at);
          else model.armed.delete(index);
          if (twice) due += 1;
        }
        hold('as its model', count === due, () => `${count} of ${due} fired`);
      }),
    ),
    fc.tuple(name, delay, fc.boolean()).map(([which, ms, onlyIfNone]) =>
      command(`${onlyIfNone ? 'start' : 'set'} ${which} in ${ms}`, (model, { table }) => {
        if (onlyIfNone) table.start(which, model.now + ms);
        else table.set(which, model.now + ms);
        if (!onlyIfNone || !model.named.has(which)) model.named.set(which, model.now + ms);
      }),
    ),
    name.map((which) =>
      command(`cancel ${which}`, (model, { table }) => {
        table.cancel(which);
        model.named.delete(which);
      }),
    ),
    fc.constant(
      command('take what is due', (model, { table }) => {
        for (let which = table.takeDue(model.now); which !== undefined; which = table.takeDue(model.now)) {
          const at = model.named.get(which) ?? Infinity;
          const earliest = Math.min(...model.named.values());
          hold('as its model', at <= model.now && at === earliest, () => `${String(which)} is not due first`);
          model.named.delete(which);
        }
        const left = [...model.named.values()].filter((at) => at <= model.now);
        hold('as its model', left.length === 0, () => `${left.length} that are due are not taken`);
      }),
    ),
  ],
  invariant: (model, { heap, table }) => {
    const earliest = Math.min(...model.armed.values());
    hold(
      'as its model',
      (heap.earliest ?? Infinity) <= earliest,
      () => `the heap waits until ${String(heap.earliest)}, not ${earliest}`,
    );
    hold('bounded memory', heap.size <= OWNERS, () => `${heap.size} entries for ${OWNERS} owners`);
    const named = Math.min(...model.named.values());
    hold(
      'as its model',
      (table.earliest ?? Infinity) <= named,
      () => `the table waits until ${String(table.earliest)}, not ${named}`,
    );
    for (const which of ['a', 'b', 'c'])
      hold('as its model', table.has(which) === model.named.has(which), () => `has ${which}`);
  },
});
