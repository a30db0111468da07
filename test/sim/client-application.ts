/** The client's application of the simulator: it writes its input and reads its output at its own pace. */
import type { StreamComparer } from '../../packages/cli/src/demo/comparer.ts';
import type { ClientEvent, Failure } from '../../packages/godwit/src/session/index.ts';
import { SkewedClock } from '../world/clock.ts';
import { VirtualClient } from '../world/virtual-client.ts';
import type { World } from '../world/world.ts';
import { compareFrom } from './content.ts';
import type { Draw } from './draw.ts';
import type { ClientPlan } from './plan.ts';
import { outputAllowed } from './script.ts';

/** How it ended. */
export interface Outcome {
  readonly failure: Failure | undefined;
  readonly atMs: number;
}

export class ClientApplication {
  readonly plan: ClientPlan;
  readonly client: VirtualClient;
  readonly clock: SkewedClock;
  /** What it writes, and what it should read where nothing is left to chance. */
  readonly input: Uint8Array;
  readonly output: Uint8Array;
  /** Output as it came. */
  readonly #received: Uint8Array[] = [];
  /** As it came, compared with `output`; undefined where bytes are left to chance. */
  readonly comparer: StreamComparer | undefined;
  #written = 0;
  #receivedBytes = 0;
  #sawEnd = false;
  #inputEnded = false;
  /** It let go of the session, or reset it, itself. */
  ending: 'destroyed' | 'reset' | undefined;

  constructor(
    world: World,
    plan: ClientPlan,
    content: { input: Uint8Array; output: Uint8Array; draw: Draw },
  ) {
    this.plan = plan;
    this.input = content.input;
    this.output = content.output;
    this.comparer = plan.application.leavesToChance ? undefined : compareFrom(this.output, 0);
    this.clock = new SkewedClock(plan.clock);
    const { draw } = content;
    this.client = new VirtualClient(world, {
      name: plan.name,
      servers: plan.servers,
      limits: plan.limits,
      timers: plan.timers,
      clock: this.clock,
      autoRead: plan.readPauseMs === 0,
      onOutput: (bytes) => this.#take(bytes),
      ...(plan.cryptoMs > 0 && { cryptoDelayMs: () => draw.between(0, plan.cryptoMs) }),
    });
    this.#write();
    if (plan.readPauseMs > 0) this.#readSlowly();
    if (plan.earlyEnd) this.client.after(plan.earlyEnd.atMs, () => this.#endEarly());
  }

  get outcome(): Failure | undefined | 'open' {
    return this.client.closed ? this.client.closed.failure : 'open';
  }
  /** Input bytes it wrote. */
  get written(): number {
    return this.#written;
  }
  get receivedBytes(): number {
    return this.#receivedBytes;
  }
  get sawEnd(): boolean {
    return this.#sawEnd;
  }
  get inputEnded(): boolean {
    return this.#inputEnded;
  }
  get received(): Uint8Array {
    return Buffer.concat(this.#received);
  }
  /** The session is over, and the application has read all there was. */
  get isDone(): boolean {
    return this.client.closed !== undefined && !this.#mayRead;
  }
  #mayRead = true;
  #isWaiting = false;

  /** Output that answers what was written so far. */
  get #answers(): number {
    const { script, application } = this.plan;
    return Math.min(outputAllowed(script, this.#written), application.earlyEnd?.atOutput ?? Infinity);
  }

  #write(): void {
    if (this.ending !== undefined || this.#inputEnded) return;
    const { writeBytes, writePauseMs, waitsForAnswers } = this.plan;
    this.#isWaiting = waitsForAnswers && this.#receivedBytes < this.#answers && !this.#sawEnd;
    if (this.#isWaiting) return;
    if (this.#written < this.input.byteLength) {
      const piece = this.input.subarray(this.#written, this.#written + writeBytes);
      this.#written += piece.byteLength;
      this.client.write(piece);
    }
    if (this.#written >= this.input.byteLength) this.#maybeEnd();
    else if (writePauseMs === 0) this.#write();
    else this.client.after(writePauseMs, () => this.#write());
  }

  #maybeEnd(): void {
    if (this.#inputEnded || this.ending !== undefined || this.#written < this.input.byteLength) return;
    const { script, application } = this.plan;
    const expected = Math.min(script.outputBytes, application.earlyEnd?.atOutput ?? Infinity);
    if (script.inputEnds === 'after output' && this.#receivedBytes < expected && !this.#sawEnd) return;
    this.#inputEnded = true;
    this.client.end();
  }

  #take(bytes: Uint8Array | 'end'): void {
    if (bytes === 'end') this.#sawEnd = true;
    else {
      this.#receivedBytes += bytes.byteLength;
      this.comparer?.push(bytes);
      if (!this.comparer) this.#received.push(bytes.slice());
    }
    if (this.#isWaiting) this.#write();
    this.#maybeEnd();
  }

  #readSlowly(): void {
    const { readPieces, readPauseMs } = this.plan;
    const isMore = this.client.read(readPieces);
    if (this.client.closed && !isMore) this.#mayRead = false;
    else this.client.after(readPauseMs, () => this.#readSlowly());
  }

  #endEarly(): void {
    const { earlyEnd } = this.plan;
    if (!earlyEnd || this.client.closed || this.ending !== undefined) return;
    this.ending = earlyEnd.how === 'destroys' ? 'destroyed' : 'reset';
    this.client.do((session, now) =>
      earlyEnd.how === 'destroys' ? session.destroy(now) : session.reset(now),
    );
  }

  handle(event: ClientEvent): void {
    if (event.type === 'closed' && this.plan.readPauseMs === 0) this.#mayRead = false;
    if (event.type === 'connected' || event.type === 'migrated') this.#keepStandbys();
  }

  /** As the hub of a client process does, to some of the servers. */
  #keepStandbys(): void {
    const { session } = this.client;
    const others = session.servers.filter((server) => server.host !== session.server?.host);
    for (const { host } of others.slice(0, this.plan.standbys))
      this.client.after(0, () => {
        if (!this.client.closed && !this.client.hasStandby(host)) this.client.standby(host);
      });
  }
}
