/**
 * One run of a check: a real client and real servers over carriers in memory, and a session between them whose servers
 * die, or hand it over, where the plan says.
 */
import { MemoryCarrier, MemoryNetwork } from '../carriers/memory.ts';
import type { Dial, DialAddress, DialDone, DialOptions, Transport } from '../carriers/carrier.ts';
import { connect } from '../client/connect.ts';
import { GodwitError } from '../errors.ts';
import type { Socket } from '../socket/socket.ts';
import type { Frame } from '../wire/index.ts';
import { ByteLog } from './byte-log.ts';
import type { CheckSettings } from './check-options.ts';
import type { EffectStore } from './effects.ts';
import type { Execution, HandlerFailure } from './execution.ts';
import { Fleet, SERVER_PORT } from './fleet.ts';
import { pieceSizes, type Fault, type RunPlan } from './run-plan.ts';
import { SeededRandom } from './seeded-random.ts';
import { TappedCarrier, type Wire } from './tapped-carrier.ts';

/** What came of a run. */
export interface RunResult {
  readonly plan: RunPlan;
  /** What the client's application read. */
  readonly output: Buffer;
  /** What the client's application wrote. */
  readonly input: Buffer;
  readonly executions: readonly Execution[];
  /** The faults that happened, in order. */
  readonly struck: readonly Fault[];
  /** Snapshots that the handler made. */
  readonly snapshots: number;
  /** Tickets that the client came to hold. */
  readonly tickets: number;
  readonly effects: EffectStore;
  /** The client destroyed its socket before it had all of the output. */
  readonly hasClientLeft: boolean;
  /** How it ended. */
  readonly end: RunEnd;
}

export type RunEnd =
  | { readonly kind: 'closed' }
  /** The client's socket failed. */
  | { readonly kind: 'failed'; readonly error: Error }
  /** The client function did. */
  | { readonly kind: 'clientFailed'; readonly error: unknown }
  /** The handler threw, or its socket failed. */
  | { readonly kind: 'handlerFailed'; readonly failure: HandlerFailure }
  /** No byte moved for `timeoutMs`. */
  | { readonly kind: 'stalled' };

/** Nothing is known of the length of the input before the first run. */
const INPUT_BYTES_UNKNOWN = 64;
/** Turns of the event loop without a delivery, after which nothing more is thought to follow. */
const IDLE_TURNS = 2;
/** As many without a delivery after the client's socket has closed: a session that is being restored may pause. */
const OVER_IDLE_TURNS = 16;
const OVER_TURNS_MAX = 100_000;
/** A handler that never pauses is not waited for longer than so many turns. */
const WAIT_TURNS_MAX = 100;
/** Looks at the clock in `timeoutMs`: a machine that was busy elsewhere for as long has cost no more than one of them. */
const LOOKS = 10;

/** Runs the plan to its end, whatever that is; rejects only for our own faults. */
export async function perform(
  settings: CheckSettings,
  plan: RunPlan,
  inputBytes?: number,
): Promise<RunResult> {
  const run = new Run(settings, plan, inputBytes ?? INPUT_BYTES_UNKNOWN);
  return run.perform();
}

class Run implements Wire, Transport {
  readonly #settings: CheckSettings;
  readonly #plan: RunPlan;
  readonly #network: MemoryNetwork;
  readonly #fleet: Fleet;
  readonly #pieceSize: () => number;
  readonly #faults: Fault[];
  readonly #struck: Fault[] = [];
  readonly #carriers = new Set<TappedCarrier>();
  readonly #output = new ByteLog();
  readonly #input = new ByteLog();
  #client: Socket | undefined;
  #tickets = 0;
  /** Deliveries that are scheduled. */
  #pending = 0;
  #quietLooks = 0;
  /** The carrier that closed last was closed by the client. */
  #hasHungUp = false;
  #settle!: (end: RunEnd) => void;
  readonly #end = new Promise<RunEnd>((resolve) => {
    this.#settle = resolve;
  });

  constructor(settings: CheckSettings, plan: RunPlan, inputBytes: number) {
    this.#settings = settings;
    this.#plan = plan;
    this.#pieceSize = pieceSizes(plan.chunking, inputBytes, new SeededRandom(settings.seed, 2, plan.number));
    this.#faults = [...plan.faults];
    this.#network = new MemoryNetwork({ schedule: (task) => this.#schedule(task) });
    this.#fleet = new Fleet(settings, plan, this.#network, {
      lastFault: () => this.#struck.at(-1),
      progress: () => this.#progress(),
      hasClientLeft: () => this.#hasClientLeft,
      failed: (failure) => this.#settle({ kind: 'handlerFailed', failure }),
      unreadable: (error) => this.#settle({ kind: 'failed', error }),
    });
  }

  async perform(): Promise<RunResult> {
    const watch = this.#watchProgress();
    this.#fleet.start();
    const client = this.#connect();
    this.#client = client;
    const end = await this.#end;
    const hasClientLeft = this.#hasClientLeft;
    clearInterval(watch);
    // The client's socket closes when it has all of the output; the session, when the handler has all of the input.
    if (end.kind === 'closed') await new Promise<void>((resolve) => this.#whenOver(resolve));
    this.#fleet.kill();
    client.unref();
    client.destroy();
    return {
      plan: this.#plan,
      output: this.#output.bytes,
      input: this.#input.bytes,
      executions: this.#fleet.executions,
      struck: this.#struck,
      snapshots: Math.max(0, ...this.#fleet.executions.map(({ socket }) => socket.snapshotNumber)),
      tickets: this.#tickets,
      effects: this.#fleet.effects,
      hasClientLeft,
      end,
    };
  }

  get #hasClientLeft(): boolean {
    return this.#client?.destroyed === true && !this.#client.readableEnded;
  }

  // --- The client -----------------------------------------------------------------------------------------------

  #connect(): Socket {
    const { client, input, service } = this.#settings;
    const socket = connect({
      servers: this.#fleet.hosts.map((host) => ({ host, port: SERVER_PORT })),
      transport: this,
      service,
      standby: false,
      detectors: () => [],
      ...this.#settings.connect,
    });
    const push = socket.push.bind(socket);
    socket.push = (chunk: unknown, encoding) => {
      if (chunk instanceof Uint8Array) this.#output.append(chunk);
      this.#progress();
      return push(chunk, encoding);
    };
    socket.on('error', (error) => {
      // With another one, the client function itself has destroyed the socket.
      if (error instanceof GodwitError) this.#settle({ kind: 'failed', error });
    });
    socket.on('close', () => this.#settle({ kind: 'closed' }));
    if (client === undefined) {
      socket.resume();
      socket.end(input);
      return socket;
    }
    void this.#converse(socket, client);
    return socket;
  }

  async #converse(socket: Socket, client: (socket: Socket) => unknown): Promise<void> {
    try {
      await client(socket);
    } catch (error) {
      // A session that failed is why the client did.
      setImmediate(() => this.#settle({ kind: 'clientFailed', error }));
      return;
    }
    if (socket.destroyed) return;
    if (!socket.writableEnded) socket.end();
    socket.resume();
  }

  // --- Faults ---------------------------------------------------------------------------------------------------

  get fault(): Fault | undefined {
    return this.#faults[0];
  }

  strike(): void {
    const fault = this.#faults.shift();
    if (fault === undefined) return;
    this.#struck.push(fault);
    this.#progress();
    if (fault.kind === 'crash') this.#crash();
    else this.#fleet.move();
  }

  #crash(): void {
    for (const carrier of this.#carriers) carrier.cut();
    this.#fleet.kill();
    this.#fleet.start();
  }

  // --- Wire -----------------------------------------------------------------------------------------------------

  nextPieceBytes(): number {
    return this.#pieceSize();
  }

  passed(direction: 'input' | 'output', offset: number, bytes: Uint8Array): void {
    this.#progress();
    if (direction === 'output') return;
    const fresh = Math.min(bytes.byteLength, offset - this.#input.length);
    if (fresh > 0) this.#input.append(bytes.subarray(bytes.byteLength - fresh));
  }

  accepted(accept: Frame<'accept'>): void {
    const execution = this.#fleet.executions.findLast(({ restart }) => restart === undefined);
    const { restartK: k, restartOutput: output } = accept;
    execution?.begin({ k, output });
  }

  ticketHeld(): void {
    this.#tickets += 1;
  }

  closed(carrier: TappedCarrier, byClient: boolean): void {
    this.#carriers.delete(carrier);
    this.#hasHungUp = byClient;
  }

  whenIdle(then: () => void): void {
    this.#wait(then, IDLE_TURNS, WAIT_TURNS_MAX, () => false);
  }

  /** The client has hung up by itself, or nothing follows any more: a handler may leave input unread. */
  #whenOver(then: () => void): void {
    this.#wait(then, OVER_IDLE_TURNS, OVER_TURNS_MAX, () => this.#hasHungUp && this.#carriers.size === 0);
  }

  #wait(then: () => void, idleTurns: number, maxTurns: number, isOver: () => boolean): void {
    let turns = 0;
    let quiet = 0;
    const look = (): void => {
      turns += 1;
      quiet = this.#pending === 0 ? quiet + 1 : 0;
      if (quiet >= idleTurns || turns >= maxTurns || (isOver() && quiet >= IDLE_TURNS)) then();
      else setImmediate(look);
    };
    setImmediate(look);
  }

  // --- Transport ------------------------------------------------------------------------------------------------

  dial(address: DialAddress, options: DialOptions, done: DialDone): Dial {
    return this.#network.dial(address, options, (error, carrier) => {
      if (!(carrier instanceof MemoryCarrier)) {
        done(error, undefined);
        return;
      }
      const tapped = new TappedCarrier(carrier, this);
      this.#carriers.add(tapped);
      done(undefined, tapped);
    });
  }

  listen(): never {
    throw new Error('a client does not listen');
  }

  // --- Time -----------------------------------------------------------------------------------------------------

  #schedule(task: () => void): void {
    this.#pending += 1;
    setImmediate(() => {
      this.#pending -= 1;
      try {
        task();
      } catch (error) {
        // A listener of the handler's, or of the client's, threw.
        this.#settle({ kind: 'handlerFailed', failure: { how: 'threw', error } });
      }
    });
  }

  #progress(): void {
    this.#quietLooks = 0;
  }

  #watchProgress(): NodeJS.Timeout {
    this.#progress();
    return setInterval(
      () => {
        this.#quietLooks += 1;
        if (this.#quietLooks > LOOKS) this.#settle({ kind: 'stalled' });
      },
      Math.ceil(this.#settings.timeoutMs / LOOKS),
    );
  }
}
