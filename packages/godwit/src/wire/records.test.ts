import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ProtocolError, WireCode } from './codes.ts';
import {
  RECORD_BYTES_MAX,
  RECORD_HEADER_BYTES,
  RecordReader,
  RecordType,
  writeRecordHeader,
} from './records.ts';

function header(type: RecordType, channel: number, length = 0): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEADER_BYTES);
  writeRecordHeader(bytes, 0, { type, channel, length });
  return bytes;
}

/** What a reader says of chunks, bytes of one record joined. */
function read(chunks: readonly Uint8Array[]): string[] {
  const said: string[] = [];
  let text = '';
  const flush = (): void => {
    if (text !== '') said.push(text);
    text = '';
  };
  const say = (what: string): void => {
    flush();
    said.push(what);
  };
  const reader = new RecordReader({
    onBytes: (channel, piece) => {
      if (!text.startsWith(`${channel}:`)) flush();
      text = `${text === '' ? `${channel}:` : text}${Buffer.from(piece).toString('latin1')}`;
    },
    onOpen: (channel) => say(`open ${channel}`),
    onClose: (channel) => say(`close ${channel}`),
    onRefused: (channel) => say(`refused ${channel}`),
  });
  for (const chunk of chunks) reader.push(chunk);
  flush();
  return said;
}

test('a header is type, length and channel, in eight bytes', () => {
  assert.equal(
    Buffer.from(header(RecordType.Bytes, 0x01020304, 0xa0b0c0)).toString('hex'),
    '00a0b0c001020304',
  );
  assert.equal(Buffer.from(header(RecordType.Refused, 0xffffffff)).toString('hex'), '03000000ffffffff');
  assert.equal(
    Buffer.from(header(RecordType.Bytes, 1, RECORD_BYTES_MAX)).toString('hex'),
    '00ffffff00000001',
  );
});

test('records are read the same however their bytes are cut', () => {
  const bytes = Buffer.concat([
    header(RecordType.Open, 1),
    header(RecordType.Bytes, 1, 5),
    Buffer.from('hello'),
    header(RecordType.Open, 0xfffffffe),
    header(RecordType.Bytes, 0xfffffffe, 1),
    Buffer.from('x'),
    header(RecordType.Close, 1),
    header(RecordType.Refused, 0xfffffffe),
  ]);
  const expected = ['open 1', '1:hello', 'open 4294967294', '4294967294:x', 'close 1', 'refused 4294967294'];
  assert.deepEqual(read([bytes]), expected);
  for (let size = 1; size <= bytes.byteLength; size += 1) {
    const chunks = [];
    for (let at = 0; at < bytes.byteLength; at += size) chunks.push(bytes.subarray(at, at + size));
    assert.deepEqual(read(chunks), expected, `in chunks of ${size}`);
  }
});

test('a chunk that is one piece is passed on as it is, others as views', () => {
  const piece = Buffer.from('piece');
  let seen: Uint8Array | undefined;
  const reader = new RecordReader({
    onBytes: (_channel, given) => (seen = given),
    onOpen: () => undefined,
    onClose: () => undefined,
    onRefused: () => undefined,
  });
  reader.push(header(RecordType.Bytes, 1, 5));
  reader.push(piece);
  assert.equal(seen, piece);
});

describe('a reader refuses', () => {
  const wrong: Readonly<Record<string, Uint8Array>> = {
    'channel 0': header(RecordType.Open, 0),
    'a record of no bytes': header(RecordType.Bytes, 1, 0),
    'an Open with bytes': header(RecordType.Open, 1, 1),
    'a Close with bytes': header(RecordType.Close, 1, 1),
    'a Refused with bytes': header(RecordType.Refused, 1, RECORD_BYTES_MAX),
    'an unknown type': header(4 as RecordType, 1),
    'the highest unknown type': header(255 as RecordType, 1),
  };
  for (const [what, bytes] of Object.entries(wrong)) {
    test(what, () => {
      assert.throws(
        () => read([bytes]),
        (error) => error instanceof ProtocolError && error.wireCode === WireCode.Protocol,
      );
      // Byte by byte too.
      assert.throws(() => read([...bytes].map((byte) => Uint8Array.of(byte))), ProtocolError);
    });
  }
});
