/**
 * Frames made from a few small bytes, by what the fields of the schema say of themselves. Each field takes a directive: 0
 * means its true value, as an honest sender would have it, and when the bytes run out everything is true. So a script
 * without bytes is a valid conversation, and a byte changed here or there lies about one thing.
 */
import { encodeHeader, encodeText, type FrameDefinition } from '../../../packages/godwit/src/wire/index.ts';
import { encodeStruct, type Fields, type Shape } from '../../../packages/godwit/src/wire/schema.ts';

/** Reads bytes to the end, and zeros from there on. */
export class Directives {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  u8(): number {
    const byte = this.#bytes[this.#at] ?? 0;
    this.#at += 1;
    return byte;
  }

  u16(): number {
    return this.u8() * 256 + this.u8();
  }

  /** At most `count` bytes: as many as are left. */
  take(count: number): Uint8Array {
    const taken = this.#bytes.slice(this.#at, this.#at + count);
    this.#at += count;
    return taken;
  }

  rest(): Uint8Array {
    return this.take(Math.max(0, this.#bytes.byteLength - this.#at));
  }

  pick<T>(values: readonly T[]): T {
    return values[this.u8() % values.length] as T;
  }
}

export type Truth = Readonly<Record<string, unknown>>;

/** Directives that lie about some fields, and are true about all others. */
export function lies(fields: Fields, about: Readonly<Record<string, readonly number[]>>): number[] {
  return Object.keys(fields).flatMap((name) => about[name] ?? [0]);
}

/** The payload of a frame. Fields without a true value have zeros, or nothing, as theirs. */
export function buildPayload(fields: Fields, truth: Truth, directives: Directives): Uint8Array {
  return encodeStruct(fields, structFrom(fields, truth, directives) as never);
}

/** A frame around a payload, whose header may lie, and which may be cut, or damaged on the way. */
export function buildFrame(
  { type }: FrameDefinition,
  payload: Uint8Array,
  directives: Directives,
): Uint8Array {
  const frame = Uint8Array.of(...encodeHeader(type, payload.byteLength), ...payload);
  switch (directives.u8()) {
    case 1: {
      const at = directives.u16() % frame.byteLength;
      return frame.with(at, (frame[at] as number) ^ (1 << (directives.u8() % 8)));
    }
    case 2:
      return frame.slice(0, frame.byteLength - (directives.u8() % frame.byteLength));
    case 3:
      return Uint8Array.of(...frame, ...directives.take(directives.u8()));
    case 4:
      return Uint8Array.of(type, directives.u8(), directives.u8(), directives.u8(), ...payload);
    case 5:
      return Uint8Array.of(directives.u8(), ...frame.subarray(1));
    default:
      return frame;
  }
}

function structFrom(fields: Fields, truth: Truth, directives: Directives): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, { shape }]) => [name, valueFrom(shape, truth[name], directives)]),
  );
}

function valueFrom(shape: Shape, truth: unknown, directives: Directives): unknown {
  switch (shape.kind) {
    case 'integer':
      return integerFrom(shape.max, (truth as number | undefined) ?? 0, directives);
    case 'choice': {
      const directive = directives.u8();
      if (directive === 0) return truth ?? shape.values[0];
      return shape.values[directive % shape.values.length];
    }
    case 'flag': {
      const directive = directives.u8();
      return directive === 0 ? (truth ?? false) : directive % 2 === 1;
    }
    case 'fixed': {
      const true_ = (truth as Uint8Array | undefined) ?? new Uint8Array(shape.length);
      return resize(bytesFrom(true_, shape.length, directives), shape.length);
    }
    case 'bytes':
      return bytesFrom((truth as Uint8Array | undefined) ?? new Uint8Array(0), shape.max, directives);
    case 'rest':
      return bytesFrom((truth as Uint8Array | undefined) ?? new Uint8Array(0), 1024, directives);
    case 'text':
      return textFrom((truth as string | undefined) ?? '', shape.max, directives);
    case 'list': {
      const items = (truth as readonly Truth[] | undefined) ?? [];
      const directive = directives.u8();
      const count = directive === 0 ? items.length : (directive - 1) % (Math.min(shape.max, 40) + 1);
      return Array.from({ length: count }, (_, i) => structFrom(shape.fields, items[i] ?? {}, directives));
    }
  }
}

function integerFrom(max: number, truth: number, directives: Directives): number {
  const clamp = (value: number): number => Math.min(max, Math.max(0, value));
  switch (directives.u8() % 16) {
    case 1:
      return 0;
    case 2:
      return max;
    case 3:
      return clamp(truth + 1);
    case 4:
      return clamp(truth - 1);
    case 5:
      return clamp(directives.u8());
    case 6:
      return clamp(directives.u16());
    case 7:
      return clamp(truth + directives.u16());
    case 8:
      return clamp(truth - directives.u16());
    case 9:
      return clamp(max - directives.u8());
    case 10:
      return clamp(directives.u16() * 65_536 + directives.u16());
    default:
      return clamp(truth);
  }
}

function bytesFrom(truth: Uint8Array, max: number, directives: Directives): Uint8Array {
  switch (directives.u8() % 16) {
    case 1:
      return new Uint8Array(0);
    case 2:
      return new Uint8Array(max).fill(0xff);
    case 3: {
      if (truth.byteLength === 0) return truth;
      const at = directives.u16() % truth.byteLength;
      return truth.with(at, (truth[at] as number) ^ (1 << (directives.u8() % 8)));
    }
    case 4:
      return truth.slice(0, truth.byteLength - (directives.u8() % (truth.byteLength + 1)));
    case 5:
      return Uint8Array.of(...truth, directives.u8()).slice(0, max);
    case 6:
      return directives.take(Math.min(max, directives.u8()));
    case 7:
      return resize(directives.take(1), Math.min(max, directives.u16()));
    default:
      return truth.slice(0, max);
  }
}

function textFrom(truth: string, max: number, directives: Directives): string {
  switch (directives.u8() % 8) {
    case 1:
      return '';
    case 2:
      return 'x'.repeat(max);
    case 3:
      return directives.pick(['a', 'b', 'c', 'm', 'test', '\ufeff', 'é', 'client']);
    case 4:
      return encodeText(`${truth}x`).byteLength <= max ? `${truth}x` : truth;
    default:
      return truth;
  }
}

function resize(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.byteLength === length) return bytes;
  const resized = new Uint8Array(length).fill(bytes[0] ?? 0);
  resized.set(bytes.subarray(0, length));
  return resized;
}
