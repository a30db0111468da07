/** Faults that wait for one step of a hand-over: a frame that arrives somewhere. */
import type { Pipe } from '../world/pipe.ts';
import { Draw } from './draw.ts';
import type { FaultPlan, StepPlan } from './fault-plan.ts';
import type { Simulation } from './simulation.ts';

interface Armed {
  readonly fault: FaultPlan;
  readonly step: StepPlan;
  left: number;
}

/** Where a client's session goes. */
interface Move {
  readonly origin: string;
  destination: string;
}

export class Steps {
  readonly #simulation: Simulation;
  #armed: Armed[] = [];
  /** The newest move of each client, by name. */
  readonly #moves = new Map<string, Move>();

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  /** From now on the step is waited for; and what brings it about begins. */
  arm(fault: FaultPlan): void {
    const { step } = fault;
    if (!step) return;
    this.#armed.push({ fault, step, left: step.count });
    const { faults } = this.#simulation;
    const draw = new Draw(fault.seed);
    switch (step.cause) {
      case 'planned':
        if (!faults.trigger(fault, draw)) faults.migrateByClient(fault, draw);
        return;
      case 'crash':
        faults.crash(this.#simulation.serving(faults.client(fault)), draw.chance(0.2), fault);
        return;
      case 'unreachable origin':
        faults.isolateOrigin(fault, draw);
        return;
    }
  }

  disarm(): void {
    this.#armed = [];
  }

  migrating(client: string, origin: string, destination: string): void {
    this.#moves.set(client, { origin, destination });
  }

  /** A frame arrives, and nobody has seen it yet. */
  arrives(frame: string, from: string, to: string): void {
    if (frame === 'migrate') {
      const move = this.#moves.get(from);
      if (move) move.destination = to;
    }
    if (this.#armed.length === 0) return;
    for (const armed of this.#armed) {
      if (armed.step.frame !== frame) continue;
      armed.left -= 1;
      if (armed.left > 0) continue;
      this.#armed = this.#armed.filter((other) => other !== armed);
      this.#fire(armed, from, to);
    }
  }

  #fire({ fault, step }: Armed, from: string, to: string): void {
    const { world, faults, plan, coverage } = this.#simulation;
    const strike = (): void => {
      if (faults.isHealed || !this.#strike(fault, from, to)) return;
      faults.disturbances.add(world.now, fault.lastsMs);
      faults.count(fault.kind);
      coverage.count('steps', `${fault.kind}: ${step.frame}`);
    };
    if (step.moment === 'before') strike();
    else if (step.moment === 'handled') world.scheduler.after(0, strike);
    else world.scheduler.after(new Draw(fault.seed).between(0, 3 * plan.network.latencyMs), strike);
  }

  #strike(fault: FaultPlan, from: string, to: string): boolean {
    const { world, faults, narrate } = this.#simulation;
    const client = faults.client(fault);
    const move = this.#moves.get(client.plan.name);
    const origin = move?.origin ?? client.client.session.serverName;
    const destination = move?.destination || (world.servers.has(to) ? to : from);
    narrate?.(`FAULT ${fault.kind}: ${fault.step?.frame} (origin ${origin}, destination ${destination})`);
    const draw = new Draw(fault.seed);
    switch (fault.kind) {
      case 'crash of the origin at a step':
        return faults.crash(world.servers.get(origin), draw.chance(0.2), fault);
      case 'crash of the destination at a step':
        return faults.crash(world.servers.get(destination), draw.chance(0.2), fault);
      case 'stop of the destination at a step':
        return faults.stop(world.servers.get(destination), fault);
      case 'carrier cut at a step': {
        const server = world.servers.has(from) ? from : to;
        const pipes = client.client.pipesTo(server).filter((pipe) => !pipe.isClosed);
        const pipe = pipes.length > 0 ? draw.pick(pipes) : faults.pipe(client, draw);
        // Or one end hears nothing of it: the server that has made an offer, above all, and CONFIRM is lost.
        if (fault.step?.frame === 'accept' && draw.chance(0.8)) pipe?.breakAt(0, true);
        else if (pipe && draw.chance(0.6)) pipe.cut();
        else pipe?.breakAt(draw.chance(0.7) ? 0 : 1, draw.chance(0.5)); // the other end hears nothing of it
        return pipe !== undefined;
      }
      case 'attach abandoned at a step': {
        // Neither hears of the other for longer than it waits; then what was sent arrives after all.
        const isAnswer = draw.chance(0.5);
        const pipes = client.client.pipesTo(world.servers.has(from) ? from : to);
        const open = pipes.filter((pipe) => !pipe.isClosed);
        if (open.length > 0 && draw.chance(0.5)) {
          faults.holdUp(draw.chance(0.6) ? (open.at(-1) as Pipe) : draw.pick(open), fault);
          return true;
        }
        faults.cut(isAnswer ? to : from, isAnswer ? from : to, fault);
        return true;
      }
      default:
        return false;
    }
  }
}
