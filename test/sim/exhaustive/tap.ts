/**
 * Counts what is delivered on every link, notes where frames end, and lets faults strike at their places. Links bear the
 * names of their order, so that the same place is found again in the next run, up to the first fault.
 */
import {
  DATA_TYPE,
  HEADER_BYTES,
  PREFACE_BYTES,
  frames,
  type DataPiece,
  type Frame,
  type PeerFrame,
} from '../../../packages/godwit/src/wire/index.ts';
import type { Pipe, PipeEnd } from '../../world/pipe.ts';
import type { World } from '../../world/world.ts';
import type { Fault, Place } from './fault.ts';

/** Where a frame ended, and when. */
export interface Boundary {
  readonly place: Place;
  readonly frame: string;
  readonly atMs: number;
}

/** A link on which a fault strikes. */
export interface TappedLink {
  readonly name: string;
  /** The carrier; undefined for a link between servers. */
  readonly carrier: TappedCarrier | undefined;
  /** Lets the frame that came last come again: from whom it came, or from another server. */
  readonly again?: ((from?: string) => void) | undefined;
}

const NAMES = new Map(Object.entries(frames).map(([name, { type }]) => [type, name]));

/** Follows the frames of one direction. */
class FrameCounter {
  #skip: number;
  #name = 'preface';
  readonly #header: number[] = [];

  constructor(skipBytes: number) {
    this.#skip = skipBytes;
  }

  /** Calls `ended` with the offset within `bytes` behind which a frame ends, for each. */
  follow(bytes: Uint8Array, ended: (at: number, name: string) => void): void {
    let at = 0;
    while (at < bytes.byteLength) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, bytes.byteLength - at);
        this.#skip -= count;
        at += count;
      } else {
        this.#header.push(bytes[at] as number);
        at += 1;
        if (this.#header.length < HEADER_BYTES) continue;
        const [type = 0, high = 0, middle = 0, low = 0] = this.#header.splice(0);
        this.#name = type === DATA_TYPE ? 'data' : (NAMES.get(type) ?? String(type));
        this.#skip = high * 65536 + middle * 256 + low;
      }
      if (this.#skip === 0) ended(at, this.#name);
    }
  }
}

export class TappedCarrier {
  readonly name: string;
  readonly pipe: Pipe;
  readonly #tap: Tap;
  readonly #world: World;
  readonly #delivered: [number, number] = [0, 0];
  readonly #counters = [new FrameCounter(0), new FrameCounter(PREFACE_BYTES)] as const;
  readonly #ends: [PipeEnd | undefined, PipeEnd | undefined] = [undefined, undefined];
  #broken = false;
  /** What waits for the link to carry on. */
  #held: (() => void)[] | undefined;

  constructor(tap: Tap, world: World, pipe: Pipe, name: string) {
    this.#tap = tap;
    this.#world = world;
    this.pipe = pipe;
    this.name = name;
    const attach = pipe.attach.bind(pipe);
    pipe.attach = (end, handlers) => {
      this.#ends[end] = handlers;
      attach(end, {
        ...handlers,
        onData: (bytes) => this.#orLater(() => this.#deliver(end, bytes)),
        onClose: (reset) =>
          this.#orLater(() => {
            if (!this.#broken) handlers.onClose(reset);
          }),
      });
    };
  }

  #orLater(run: () => void): void {
    if (this.#held) this.#held.push(run);
    else run();
  }

  /** For so long nothing comes out at either end. */
  hold(forMs: number): void {
    this.#held ??= [];
    this.#world.scheduler.after(forMs, () => {
      const held = this.#held ?? [];
      this.#held = undefined;
      for (const run of held) run();
    });
  }

  #deliver(end: 0 | 1, bytes: Uint8Array): void {
    const direction = end === 1 ? '>' : '<';
    let rest = bytes;
    while (!this.#broken) {
      const before = this.#delivered[end];
      const stop = this.#tap.nextStop(this.name, direction, before, before + rest.byteLength);
      const count = stop === undefined ? rest.byteLength : stop - before;
      if (count > 0) {
        const piece = rest.subarray(0, count);
        rest = rest.subarray(count);
        this.#delivered[end] += count;
        this.#counters[end].follow(piece, (at, frame) =>
          this.#tap.note(this.name, direction, before + at, frame),
        );
        this.#ends[end]?.onData(piece);
        this.#tap.delivered(this.name, direction, this.#delivered[end]);
      }
      if (stop === undefined) return;
      const again = this.#tap.lastFrame;
      this.#tap.strike({ name: this.name, carrier: this, again }, direction, stop);
      if (this.pipe.isClosed) return;
      if (this.#held) {
        const later = rest;
        this.#held.push(() => this.#deliver(end, later));
        return;
      }
    }
  }

  /** Neither end sends or hears anything any more; both are told, or neither. */
  break(how: 'reset' | 'lost' | 'silent'): void {
    if (this.#broken || this.pipe.isClosed) return;
    this.pipe.blackhole[0] = this.pipe.blackhole[1] = true;
    if (how === 'silent') return;
    this.#broken = true;
    for (const end of this.#ends)
      if (end) this.#world.scheduler.after(this.#world.latencyMs, () => end.onClose(how === 'reset'));
  }
}

export class Tap {
  readonly carriers: TappedCarrier[] = [];
  readonly boundaries: Boundary[] = [];
  /** Bytes that each direction of each carrier has delivered. */
  readonly bytes = new Map<string, number>();
  readonly #world: World;
  readonly #waiting: Fault[];
  readonly #strike: (fault: Fault, link: TappedLink) => void;
  readonly #peerFrames = new Map<string, number>();
  #handling:
    | {
        readonly link: string;
        readonly to: string;
        readonly frame: string;
        readonly again: (from?: string) => void;
      }
    | undefined;
  /** Faults that came to their place, and when the first did. */
  readonly struck: { readonly fault: Fault; readonly behind: string }[] = [];
  struckAtMs: number | undefined;
  /** When the script first did something. */
  actedAtMs: number | undefined;

  constructor(world: World, faults: readonly Fault[], strike: (fault: Fault, link: TappedLink) => void) {
    this.#world = world;
    this.#waiting = [...faults];
    this.#strike = strike;
    world.onPeerFrame = (frame, from, to) => this.#beforePeerFrame(frame, from, to);
    world.onDial = (_, pipe) => {
      this.carriers.push(new TappedCarrier(this, world, pipe, `c${this.carriers.length + 1}`));
    };
  }

  /** A frame between servers has come, and its server has not seen it yet: another may say the same before. */
  #beforePeerFrame(frame: PeerFrame, from: string, to: string): void {
    if (this.#waiting[0]?.kind !== 'forestalled') return;
    const link = `${from}${to}`;
    const server = this.#world.server(to);
    const again = (other = from): void => {
      server.handlePeerFrame({ name: other, host: other, port: 1 }, frame);
    };
    this.strike({ name: link, carrier: undefined, again }, '>', (this.#peerFrames.get(link) ?? 0) + 1);
  }

  /** A frame between servers is about to be handled. */
  peerFrame(frame: PeerFrame, from: string, to: string): void {
    const link = `${from}${to}`;
    const count = this.#peerFrames.get(link) ?? 0;
    if (count === 0) this.strike({ name: link, carrier: undefined }, '>', 0);
    this.#peerFrames.set(link, count + 1);
    const server = this.#world.server(to);
    const again = (other = from): void => {
      server.handlePeerFrame({ name: other, host: other, port: 1 }, frame);
    };
    this.#handling = { link, to, frame: frame.frame, again };
  }

  /** That server has done all that follows from it. */
  settled(server: string): void {
    if (this.#handling?.to !== server) return;
    const { link, frame, again } = this.#handling;
    this.#handling = undefined;
    const count = this.#peerFrames.get(link) ?? 0;
    this.note(link, '>', count, frame);
    this.strike({ name: link, carrier: undefined, again }, '>', count);
  }

  /** A frame of the client is about to be handled. */
  frame(frame: Frame | DataPiece, to: string, carrierId: number): void {
    const server = this.#world.server(to);
    this.#lastFrame = () => server.inside(() => server.node.handleFrame(server.now, carrierId, frame));
  }
  get lastFrame(): (() => void) | undefined {
    return this.#lastFrame;
  }
  #lastFrame: (() => void) | undefined;

  note(link: string, direction: Place['direction'], offset: number, frame: string): void {
    this.boundaries.push({ place: { link, direction, offset }, frame, atMs: this.#world.now });
  }

  delivered(link: string, direction: Place['direction'], bytes: number): void {
    this.bytes.set(link + direction, bytes);
  }

  /** The next offset in [from, to] at which a fault waits. Only the first of several faults waits at a time. */
  nextStop(link: string, direction: Place['direction'], from: number, to: number): number | undefined {
    const place = this.#waiting[0]?.place;
    if (place?.link !== link || place.direction !== direction) return undefined;
    return place.offset >= from && place.offset <= to ? place.offset : undefined;
  }

  strike(link: TappedLink, direction: Place['direction'], offset: number): void {
    const fault = this.#waiting[0];
    if (fault?.place.link !== link.name || fault.place.direction !== direction) return;
    if (fault.place.offset !== offset) return;
    this.#waiting.shift();
    this.struck.push({ fault, behind: this.#frameAt(fault.place) });
    this.struckAtMs ??= this.#world.now;
    this.#strike(fault, link);
  }

  /** The frame that ended there, or in which the place lies. */
  #frameAt({ link, direction, offset }: Place): string {
    const last = this.boundaries.findLast(
      ({ place }) => place.link === link && place.direction === direction && place.offset <= offset,
    );
    if (last?.place.offset === offset) return last.frame;
    return offset === 0 ? 'nothing' : `part of a frame`;
  }
}
