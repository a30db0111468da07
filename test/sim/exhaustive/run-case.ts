/** Runs one case: a script, in a mode, with its faults, to its end, under the checkers of the simulator. */
import type { Delivery } from '../../../packages/godwit/src/wire/index.ts';
import type { World } from '../../world/world.ts';
import { Simulation, type Narrator } from '../simulation.ts';
import type { Violation } from '../violations.ts';
import { exchangePlan } from './exchange-plan.ts';
import { faultName, parseFault, type Fault } from './fault.ts';
import { MODES, RESTART_MS, SCRIPTS, type ExhaustiveScript, type Stage, type Step } from './script.ts';
import { Tap, type TappedLink } from './tap.ts';

export interface Case {
  readonly script: ExhaustiveScript;
  readonly delivery: Delivery;
  readonly faults: readonly Fault[];
}

export interface Outcome {
  readonly violations: readonly Violation[];
  readonly tap: Tap;
  /** How each restore came about, in order. */
  readonly sources: readonly string[];
}

/** How long a machine is silent, or a process stopped, in ms: longer than the stall detector waits. */
const AWAY_MS = 6000;

/** How long nothing gets through, in ms: longer than anybody waits for an answer. */
const HOLD_MS = 4500;
/** When a frame comes again, in ms. */
const AGAIN_AFTER_MS = [0, 30, 4500];

/** `origin/commit/kill-a@c1>120+lost@c2<17` */
export function caseName({ script, delivery, faults }: Case): string {
  const mode = MODES.find((candidate) => candidate.delivery === delivery)?.name ?? '';
  return [script.name, mode, ...(faults.length > 0 ? [faults.map(faultName).join('+')] : [])].join('/');
}

export function parseCase(name: string): Case {
  const [scriptName, modeName, faults = ''] = name.split('/');
  const script = SCRIPTS.find((candidate) => candidate.name === scriptName);
  const mode = MODES.find((candidate) => candidate.name === modeName);
  if (!script || !mode) throw new Error(`"${name}" is no case: it begins with a script and a mode`);
  const parsed = faults === '' ? [] : faults.split('+').map(parseFault);
  return { script, delivery: mode.delivery, faults: parsed };
}

export function runCase(subject: Case, narrate?: Narrator): Outcome {
  const { script, delivery, faults } = subject;
  const simulation = new Simulation(
    exchangePlan(script, delivery, faults.length === 0 && script.steps.length === 0),
    {
      narrate,
    },
  );
  const tap = new Tap(simulation.world, faults, (fault, link) => {
    narrate?.(`FAULT ${faultName(fault)}`);
    if (script.retainLimitBytes !== undefined) simulation.faults.disturbances.add(simulation.world.now, 0);
    strike(simulation, fault, link);
  });
  play(simulation, tap, script);
  const { violations } = simulation.run();
  const sources = simulation.clients.flatMap(({ client }) => client.migrations.map(({ source }) => source));
  return { violations, tap, sources };
}

/** Lets the script act, step by step, as what it waits for happens. */
function play(simulation: Simulation, tap: Tap, { steps }: ExhaustiveScript): void {
  const { world } = simulation;
  const waiting = [...steps];
  const stage = (): Stage | undefined => {
    const [application] = simulation.clients;
    return application && { world, client: application.client };
  };
  const next = (isMet: (when: Step['when'], on: Stage) => boolean): void => {
    const on = stage();
    const [step] = waiting;
    if (!on || !step || on.client.closed || !isMet(step.when, on)) return;
    waiting.shift();
    tap.actedAtMs ??= world.now;
    step.act(on);
  };
  const soon = (isMet: (when: Step['when'], on: Stage) => boolean): void => {
    const on = stage();
    if (on && waiting[0] && isMet(waiting[0].when, on)) world.scheduler.after(0, () => next(isMet));
  };
  simulation.observers.add({
    frameArrives: (arrived, _, to, { carrierId }) => {
      const { frame } = arrived;
      if (world.servers.has(to)) tap.frame(arrived, to, carrierId);
      soon((when) => 'frame' in when && when.frame === frame && when.at === to);
    },
    peerFrameArrives: (frame, from, to) => {
      tap.peerFrame(frame, from, to);
      soon((when) => 'frame' in when && when.frame === frame.frame && when.at === to);
    },
    serverSettled: (server) => tap.settled(server.address.name),
    clientSettled: (client) => {
      soon(
        (when) =>
          'output' in when && client.session.state === 'attached' && client.receivedBytes >= when.output,
      );
    },
  });
}

function strike(simulation: Simulation, { kind }: Fault, { carrier, again }: TappedLink): void {
  const { world } = simulation;
  switch (kind) {
    case 'reset':
    case 'lost':
    case 'silent':
      carrier?.break(kind);
      return;
    case 'late':
      carrier?.hold(HOLD_MS);
      return;
    case 'forestalled':
      again?.('c');
      return;
    case 'unlink':
      world.breakPeerLink('a', 'b');
      return;
    case 'hold-ab':
      hold(world, 'a', 'b');
      return;
    case 'hold-a':
    case 'hold-b':
      hold(world, 'client', kind.slice(-1));
      return;
    case 'again':
      for (const afterMs of AGAIN_AFTER_MS) world.scheduler.after(afterMs, () => again?.());
      return;
    case 'stolen':
      for (const afterMs of AGAIN_AFTER_MS) world.scheduler.after(afterMs, () => again?.('c'));
      return;
    case 'kill-a':
    case 'kill-b':
      kill(simulation, kind.slice(-1), false, RESTART_MS);
      return;
    case 'end-a':
    case 'end-b':
      kill(simulation, kind.slice(-1), false, undefined);
      return;
    case 'vanish-a':
    case 'vanish-b':
      kill(simulation, kind.slice(-1), true, AWAY_MS);
      return;
    case 'stop-a':
    case 'stop-b': {
      const server = world.server(kind.slice(-1));
      server.suspend();
      world.scheduler.after(AWAY_MS, () => {
        if (server.isAlive) server.resume();
      });
    }
  }
}

function hold(world: World, from: string, to: string): void {
  for (const end of [world.cut(from, to), world.cut(to, from)]) world.scheduler.after(HOLD_MS, end);
}

function kill(simulation: Simulation, name: string, silent: boolean, backAfterMs: number | undefined): void {
  const { world, checks } = simulation;
  if (!world.server(name).isAlive) return;
  checks.crashes(world.server(name));
  world.server(name).kill(silent);
  if (backAfterMs === undefined) return;
  world.scheduler.after(backAfterMs, () => {
    if (!world.server(name).isAlive) world.start(name);
  });
}
