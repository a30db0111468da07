/** A client process of a chaos run: sessions in so many slots, one after the other in each. */
import { connect } from 'godwit';
import type { Socket } from 'godwit';
import { setTimeout as wait } from 'node:timers/promises';
import { Draw } from '../../packages/cli/src/demo/choices.ts';
import { NO_FAULTS, addVerdicts } from '../../packages/cli/src/demo/comparer.ts';
import { transfer } from '../../packages/cli/src/demo/transfer.ts';
import { exchange } from './exchange.ts';
import { LiveSession } from './live-session.ts';
import type { Incident } from './live-session.ts';
import { logSince } from './log.ts';
import { SERVICES } from './messages.ts';
import type { ClientCommand, ClientConfig, ClientMessage, SessionOutcome, Slot } from './messages.ts';

/** A session that delivers nothing for so long, although bytes are due, hangs; in milliseconds. */
const HANG_MS = 30_000;

/** How often sessions are looked at for that. */
const LOOK_MS = 1000;

/** How often opening is tried, and the pause in between: what the network does to connections, it does to those of `net`. */
const OPENINGS_MAX = 40;
const OPENING_PAUSE_MS = 250;

/** What request sessions are like: many requests with little thought, or in the crowd few with a lot. */
const REQUESTS = { count: 2000, windowMax: 6, thinkMaxMs: 4 };
const CROWD = { count: 60, windowMax: 1, thinkMinMs: 150, thinkMaxMs: 500 };

type Result = Pick<SessionOutcome, 'verdict' | 'mismatched' | 'requests'>;

export class ChaosClient {
  readonly #config: ClientConfig;
  readonly #tell: (message: ClientMessage) => void;
  readonly #log: (line: string) => void;
  readonly #draw: Draw;
  readonly #live = new Set<LiveSession>();
  readonly #incidents = new Map<number, Incident>();
  #finishing = false;

  constructor(config: ClientConfig, tell: (message: ClientMessage) => void) {
    this.#config = config;
    this.#tell = tell;
    this.#log = logSince(config.startedMs);
    this.#draw = new Draw(config.seed);
  }

  /** Resolves when all sessions have ended after `finish`. */
  async run(): Promise<void> {
    const looks = setInterval(() => this.#look(), LOOK_MS);
    this.#tell({ type: 'ready' });
    await Promise.all(this.#config.slots.map((slot) => this.#runSlot(slot)));
    clearInterval(looks);
    this.#tell({ type: 'finished' });
  }

  handle(command: ClientCommand): void {
    switch (command.type) {
      case 'census':
        this.#tell({ type: 'census', flowing: this.#census() });
        return;
      case 'watch': {
        const incident: Incident = { id: command.incident, servers: command.servers, healed: false };
        this.#incidents.set(incident.id, incident);
        const watched = [...this.#live].filter((session) => session.watch(incident));
        const flowing = watched.filter((session) => session.isFlowing).length;
        this.#tell({ type: 'watched', incident: incident.id, watched: watched.length, flowing });
        return;
      }
      case 'move':
        for (const session of this.#live)
          if (session.isWatchedFor(command.incident))
            session.socket
              .migrate()
              .catch((error: Error) => this.#log(`${session.socket.sessionId}: ${error.message}`));
        return;
      case 'healed': {
        const incident = this.#incidents.get(command.incident);
        if (incident !== undefined) incident.healed = true;
        return;
      }
      case 'finish':
        this.#finishing = true;
        return;
    }
  }

  #census(): Record<string, number> {
    const flowing: Record<string, number> = {};
    for (const session of this.#live) {
      const server = session.socket.currentServer?.name;
      if (server !== undefined && session.isFlowing) flowing[server] = (flowing[server] ?? 0) + 1;
    }
    return flowing;
  }

  #look(): void {
    for (const session of this.#live)
      if (session.waitingMs > HANG_MS)
        session.socket.destroy(new Error(`nothing came for ${Math.round(session.waitingMs / 1000)} s`));
  }

  async #runSlot(slot: Slot): Promise<void> {
    let failures = 0;
    while (!this.#finishing) {
      const { socket, session } = this.#open(slot);
      let opened = false;
      socket.once('connect', () => (opened = true));
      let outcome: SessionOutcome;
      const base = { ...slot, session: socket.sessionId ?? '' };
      try {
        const result = await this.#use(session);
        outcome = { ...base, ...result, migrations: socket.migrations };
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        const problem = `${code ?? 'error'}: ${message}`;
        this.#log(`${slot.workload} ${slot.delivery} ${socket.sessionId}: ${problem}`);
        if (!opened && ++failures < OPENINGS_MAX) {
          this.#tell({ type: 'notOpened', code: code ?? message });
          await wait(OPENING_PAUSE_MS);
          continue;
        }
        outcome = {
          ...base,
          verdict: NO_FAULTS,
          mismatched: false,
          migrations: socket.migrations,
          problem,
        };
      } finally {
        this.#live.delete(session);
        session.end();
        socket.destroy();
      }
      failures = 0;
      this.#tell({ type: 'ended', outcome });
    }
  }

  #open(slot: Slot): { socket: Socket; session: LiveSession } {
    const kind = slot.workload === 'crowd' ? 'requests' : slot.workload;
    const service = SERVICES.find((each) => each.kind === kind && each.delivery === slot.delivery);
    if (service === undefined) throw new Error(`no service for ${slot.workload}`);
    const { servers } = this.#config;
    const first = this.#draw.below(servers.length);
    const socket = connect({
      service: service.name,
      servers: [...servers.slice(first), ...servers.slice(0, first)].map(({ host }) => ({
        host,
        port: service.port,
      })),
    });
    const session = new LiveSession(slot, socket, this.#tell);
    this.#live.add(session);
    const note = (text: string): void =>
      this.#log(`${slot.workload} ${slot.delivery} ${socket.sessionId}: ${text}`);
    socket.on('connect', () => note(`connected to ${socket.currentServer?.name}`));
    socket.on('migrating', ({ cause, from, to }) => note(`leaves ${from} for ${to ?? 'any'}: ${cause}`));
    socket.on('migrated', ({ from, to, source, epoch, attempts, phases }) =>
      note(
        `${from} -> ${to} by ${source}, epoch ${epoch}, ${attempts} attempts, detect ${phases.detect.toFixed()}, ` +
          `connect ${phases.connect.toFixed()}, attach ${phases.attach.toFixed()} ms`,
      ),
    );
    socket.on('unprotected', (reason) => note(`unprotected: ${reason}`));
    return { socket, session };
  }

  async #use(session: LiveSession): Promise<Result> {
    const { slot, socket } = session;
    const seed = this.#draw.below(2 ** 32);
    if (slot.workload === 'requests' || slot.workload === 'crowd') {
      const kind = slot.workload === 'crowd' ? CROWD : { ...REQUESTS, thinkMinMs: 0 };
      const { verdict, answered, receipts } = await exchange(socket, {
        seed,
        requests: kind.count,
        window: 1 + this.#draw.below(kind.windowMax),
        thinkMs: kind.thinkMinMs + this.#draw.below(kind.thinkMaxMs - kind.thinkMinMs),
        isOver: () => this.#finishing,
        onRequest: () => session.expect(),
        onAnswer: (unanswered) => session.deliver(unanswered > 0),
      });
      return { verdict, mismatched: false, requests: { answered, receipts } };
    }
    const { file, nothing } = this.#config;
    const isDown = slot.workload === 'down';
    let progress = 0;
    session.expect();
    const { down, up } = await transfer(socket, {
      delivery: slot.delivery,
      file: isDown ? file : nothing,
      upload: isDown ? nothing : file,
      seed,
      rate: 0,
      onProgress: (downBytes, upBytes) => {
        if (downBytes + upBytes === progress) return;
        progress = downBytes + upBytes;
        session.deliver(true);
      },
    });
    const agree = down.sha256.sent === down.sha256.received && up.sha256.sent === up.sha256.received;
    return { verdict: addVerdicts(down.verdict, up.verdict), mismatched: !agree };
  }
}
