/**
 * Field types that encode, decode and describe themselves, so that the codec, the byte tables of protocol.md and the
 * test vectors come from one declaration.
 */
import { ProtocolError, WireCode } from './codes.ts';
import { ByteReader, ByteWriter, encodeText, isAscii } from './bytes.ts';

/** What a field holds, for whoever makes values or tables of it rather than bytes. */
export type Shape =
  | { readonly kind: 'integer'; readonly max: number }
  | { readonly kind: 'choice'; readonly values: readonly number[] }
  | { readonly kind: 'flag' }
  | { readonly kind: 'fixed'; readonly length: number }
  | { readonly kind: 'bytes'; readonly max: number }
  | { readonly kind: 'text'; readonly max: number }
  | { readonly kind: 'rest' }
  | { readonly kind: 'list'; readonly fields: Fields; readonly max: number };

interface Description {
  /** How many bytes the field takes, as protocol.md prints it. */
  readonly size: string;
  readonly minBytes: number;
  /** `Infinity` for `rest`, which only the limit of its frame bounds. */
  readonly maxBytes: number;
  readonly shape: Shape;
}

/** One field of a frame. */
export interface Field<T> extends Description {
  /** Throws `RangeError` on a value that the field cannot hold: that is our own bug. */
  write(writer: ByteWriter, value: T): void;
  /** Throws `ProtocolError` (Protocol) on bytes that are no such value: that is the peer's fault. */
  read(reader: ByteReader): T;
}

/** A field of whatever type. */
interface AnyField extends Description {
  write(writer: ByteWriter, value: never): void;
  read(reader: ByteReader): unknown;
}

export type Fields = Readonly<Record<string, AnyField>>;
export type FieldValue<F> = F extends { read(reader: ByteReader): infer T } ? T : never;
export type StructValue<S> = { readonly [N in keyof S]: FieldValue<S[N]> };

// One closure for each width: a shared one, calling a method by its name, costs a lookup for each number read.
export const u8 = integer(
  1,
  (writer, value) => writer.u8(value),
  (reader) => reader.u8(),
);
export const u16 = integer(
  2,
  (writer, value) => writer.u16(value),
  (reader) => reader.u16(),
);
export const u32 = integer(
  4,
  (writer, value) => writer.u32(value),
  (reader) => reader.u32(),
);
/** Epochs and snapshot numbers. */
export const u48 = integer(
  6,
  (writer, value) => writer.u48(value),
  (reader) => reader.u48(),
);
/** Stream offsets and times, up to 2^53 − 1. */
export const u64 = integer(
  8,
  (writer, value) => writer.u64(value),
  (reader) => reader.u64(),
);

function integer(
  bytes: number,
  write: (writer: ByteWriter, value: number) => void,
  read: (reader: ByteReader) => number,
): Field<number> {
  const max = Math.min(2 ** (bytes * 8) - 1, Number.MAX_SAFE_INTEGER);
  return { ...exactly(bytes, { kind: 'integer', max }), write, read };
}

/** One byte with one of the listed values; anything else is refused. */
export function choice(named: Readonly<Record<string, number>>): Field<number> {
  const values = Object.values(named);
  return {
    ...exactly(1, { kind: 'choice', values }),
    write: (writer, value) => {
      if (!values.includes(value)) throw new RangeError(`${value} is none of ${values.join(', ')}`);
      writer.u8(value);
    },
    read: (reader) => {
      const value = reader.u8();
      if (!values.includes(value)) {
        throw new ProtocolError(WireCode.Protocol, `a field is ${value}, none of ${values.join(', ')}`);
      }
      return value;
    },
  };
}

/** One byte, 0 or 1; anything else is refused. */
export const flag: Field<boolean> = {
  ...exactly(1, { kind: 'flag' }),
  write: (writer, value) => {
    writer.u8(value ? 1 : 0);
  },
  read: (reader) => {
    const value = reader.u8();
    if (value > 1) throw new ProtocolError(WireCode.Protocol, `a flag is ${value}, not 0 or 1`);
    return value === 1;
  },
};

/** Exactly `length` bytes. */
export function fixed(length: number): Field<Uint8Array> {
  return {
    ...exactly(length, { kind: 'fixed', length }),
    write: (writer, value) => {
      if (value.byteLength !== length)
        throw new RangeError(`${value.byteLength} bytes in a field of ${length}`);
      writer.bytes(value);
    },
    read: (reader) => reader.bytes(length),
  };
}

/** 0 … max bytes behind their length (2 bytes, or 4 when max is above 65,535). */
export function bytes(max: number): Field<Uint8Array> {
  const wide = max > 0xffff;
  return {
    ...behindLength(wide ? 4 : 2, { kind: 'bytes', max }),
    write: (writer, value) => {
      writeWithLength(writer, value, max, wide);
    },
    read: (reader) => reader.bytes(readLength(reader, max, wide)),
  };
}

/** UTF-8 text of 0 … max bytes behind its length (2 bytes): names and addresses, which are of no use when cut short. */
export function text(max: number): Field<string> {
  return {
    ...behindLength(2, { kind: 'text', max }),
    write: (writer, value) => {
      // Nearly all are names and addresses: one call into the runtime for each of them shows.
      if (value.length > max || !isAscii(value)) {
        writeWithLength(writer, encodeText(value), max, false);
        return;
      }
      writer.u16(value.length);
      writer.ascii(value);
    },
    read: (reader) => reader.text(readLength(reader, max, false)),
  };
}

/** As `text`, for people to read: longer text is cut, at the end of a character, when written. */
export function message(max: number): Field<string> {
  return {
    ...text(max),
    write: (writer, value) => {
      const encoded = encodeText(value);
      let end = Math.min(encoded.byteLength, max);
      if (end < encoded.byteLength) while (isContinuation(encoded[end])) end -= 1;
      writeWithLength(writer, encoded.subarray(0, end), max, false);
    },
  };
}

/** The rest of the payload, bounded by the limit of its frame. Only as the last field; decoded, it is a view of the payload. */
export const rest: Field<Uint8Array> = {
  size: 'rest',
  minBytes: 0,
  maxBytes: Infinity,
  shape: { kind: 'rest' },
  write: (writer, value) => {
    writer.bytes(value);
  },
  read: (reader) => reader.rest(),
};

/** 0 … max items behind their count (2 bytes). */
export function list<S extends Fields>(fields: S, max: number): Field<readonly StructValue<S>[]> {
  const plan = planOf(fields);
  const items = Object.entries(fields)
    .map(([name, field]) => `${name}: ${field.size}`)
    .join('; ');
  return {
    size: `2 + n × (${items}), n ≤ ${max}`,
    minBytes: 2,
    maxBytes: 2 + max * sumOf(fields, 'maxBytes'),
    shape: { kind: 'list', fields, max },
    write: (writer, values) => {
      if (values.length > max) throw new RangeError(`${values.length} items in a list of at most ${max}`);
      writer.u16(values.length);
      for (const value of values) writeFields(writer, plan, value);
    },
    read: (reader) => {
      const count = reader.u16();
      if (count > max) {
        throw new ProtocolError(WireCode.Protocol, `a list of ${count} items is over its limit of ${max}`);
      }
      const values: StructValue<S>[] = [];
      for (let i = 0; i < count; i += 1) values.push(readFields(reader, plan, {}) as StructValue<S>);
      return values;
    },
  };
}

export function encodeStruct<S extends Fields>(fields: S, value: StructValue<S>): Uint8Array {
  return encodeBehind(NOTHING, planOf(fields), value);
}

/** One struct behind bytes that are known already. */
export function encodeBehind(
  before: Uint8Array,
  plan: Plan,
  value: Readonly<Record<string, unknown>>,
): Uint8Array {
  const rest = plan.rest === undefined ? 0 : (value[plan.rest] as Uint8Array).byteLength;
  const writer = new ByteWriter(before.byteLength + plan.capacity + rest);
  writer.bytes(before);
  writeFields(writer, plan, value);
  return writer.finish();
}

const NOTHING = new Uint8Array(0);

/** Decodes exactly one struct; bytes left over are an error. Throws `ProtocolError` (Protocol). */
export function decodeStruct<S extends Fields>(fields: S, payload: Uint8Array): StructValue<S> {
  return decodeInto({}, planOf(fields), payload) as StructValue<S>;
}

/** Fields in wire order, looked up once and not for every frame. */
export interface Plan {
  readonly names: readonly string[];
  readonly fields: readonly Field<unknown>[];
  /** How large a buffer to begin with, in bytes: the very size where that is fixed, but for `rest`. */
  readonly capacity: number;
  /** Name of the field that is the rest of the payload. */
  readonly rest: string | undefined;
}

const plans = new WeakMap<Fields, Plan>();

export function planOf(fields: Fields): Plan {
  let plan = plans.get(fields);
  if (plan === undefined) {
    const minBytes = sumOf(fields, 'minBytes');
    const isFixed = Object.values(fields).every(
      ({ shape, maxBytes, minBytes: min }) => shape.kind === 'rest' || maxBytes === min,
    );
    const capacity = isFixed ? minBytes : minBytes + SPARE_BYTES;
    plan = {
      names: Object.keys(fields),
      fields: Object.values(fields) as unknown as Plan['fields'],
      capacity,
      rest: Object.keys(fields).find((name) => fields[name]?.shape.kind === 'rest'),
    };
    plans.set(fields, plan);
  }
  return plan;
}

/** Room for what varies, to begin with: a few names. */
const SPARE_BYTES = 64;

/** The least or most that fields take together, in bytes. */
export function sumOf(fields: Fields, bound: 'minBytes' | 'maxBytes'): number {
  return Object.values(fields).reduce((sum, field) => sum + field[bound], 0);
}

/** As `decodeStruct`, into an object that may have other properties already. */
export function decodeInto<T extends object>(target: T, plan: Plan, payload: Uint8Array): T {
  const reader = new ByteReader(payload);
  readFields(reader, plan, target as Record<string, unknown>);
  if (reader.remaining > 0) {
    throw new ProtocolError(WireCode.Protocol, `${reader.remaining} bytes behind the last field`);
  }
  return target;
}

// Two arrays and an index: pairs would be taken apart anew for every field of every frame.
function readFields(
  reader: ByteReader,
  { names, fields }: Plan,
  target: Record<string, unknown>,
): Record<string, unknown> {
  for (let i = 0; i < fields.length; i += 1)
    target[names[i] as string] = (fields[i] as Field<unknown>).read(reader);
  return target;
}

function writeFields(
  writer: ByteWriter,
  { names, fields }: Plan,
  value: Readonly<Record<string, unknown>>,
): void {
  for (let i = 0; i < fields.length; i += 1)
    (fields[i] as Field<unknown>).write(writer, value[names[i] as string]);
}

function exactly(bytes: number, shape: Shape): Description {
  return { size: String(bytes), minBytes: bytes, maxBytes: bytes, shape };
}

function behindLength(lengthBytes: number, shape: Shape & { readonly max: number }): Description {
  const { max } = shape;
  return {
    size: `${lengthBytes} + n, n ≤ ${max}`,
    minBytes: lengthBytes,
    maxBytes: lengthBytes + max,
    shape,
  };
}

function readLength(reader: ByteReader, max: number, wide: boolean): number {
  const length = wide ? reader.u32() : reader.u16();
  if (length > max)
    throw new ProtocolError(WireCode.Protocol, `a field of ${length} bytes is over its limit of ${max}`);
  return length;
}

function writeWithLength(writer: ByteWriter, value: Uint8Array, max: number, wide: boolean): void {
  if (value.byteLength > max) throw new RangeError(`${value.byteLength} bytes in a field of at most ${max}`);
  if (wide) writer.u32(value.byteLength);
  else writer.u16(value.byteLength);
  writer.bytes(value);
}

/** Whether a byte of UTF-8 goes on with a character that began before it. */
function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x80 && byte < 0xc0;
}
