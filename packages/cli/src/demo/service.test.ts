/** The services and their client over plain sockets: their own logic, without any migration. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bytesFromSeed } from './choices.ts';
import { serveFile } from './file-service.ts';
import { serveRecords } from './record-service.ts';
import type { ServiceOptions, ServiceSocket } from './service.ts';
import { transfer } from './transfer.ts';
import type { Delivery, TransferResult } from './transfer.ts';

const FILE_BYTES = 1024 * 1024;
const BLOCK = 4096;

describe('the services over plain sockets', () => {
  let folder = '';
  let file = '';

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'godwit-service-'));
    file = join(folder, 'file.bin');
    writeFileSync(file, bytesFromSeed(1, FILE_BYTES));
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const delivery of ['replay', 'commit'] as const) {
    test(`${delivery}: both directions arrive whole, and both ends agree on it`, async () => {
      const { down, up } = await run(delivery, { file, rate: 0 });
      for (const { bytes, verdict, sha256 } of [down, up]) {
        assert.ok(delivery === 'replay' ? bytes === FILE_BYTES : bytes >= FILE_BYTES);
        assert.deepEqual(verdict.incidents, { lost: 0, duplicated: 0, corrupt: 0 });
        assert.equal(sha256.sent, sha256.received);
      }
    });

    test(`${delivery}: a block lost, doubled or damaged on the way down is counted as such`, async () => {
      const faults = {
        lost: () => Buffer.alloc(0),
        duplicated: (bytes: Buffer) => Buffer.concat([bytes, bytes]),
        corrupt: (bytes: Buffer) => Buffer.from(bytes.map((byte, index) => (index >= 100 ? ~byte : byte))),
      };
      for (const [name, fault] of Object.entries(faults)) {
        let planted = false;
        const tamper = (bytes: Buffer, offset: number): Buffer => {
          if (planted || offset < FILE_BYTES / 2 || bytes.length < BLOCK) return bytes;
          planted = true;
          return fault(bytes);
        };
        const { down, up } = await run(delivery, { file, rate: 0, tamper });
        const none = { lost: 0, duplicated: 0, corrupt: 0 };
        assert.deepEqual(down.verdict.incidents, { ...none, [name]: 1 }, name);
        assert.deepEqual(up.verdict.incidents, none);
        assert.notEqual(down.sha256.sent, down.sha256.received);
      }
    });
  }

  test('the file that goes up may be another than the one that comes down, or nothing', async () => {
    const none = join(folder, 'none.bin');
    writeFileSync(none, '');
    for (const delivery of ['replay', 'commit'] as const) {
      for (const [options, downBytes, upBytes] of [
        [{ file, upload: none, rate: 0 }, FILE_BYTES, 0],
        [{ file: none, upload: file, rate: 0 }, 0, FILE_BYTES],
      ] as const) {
        const { down, up } = await run(delivery, options);
        assert.ok(down.bytes >= downBytes && up.bytes >= upBytes);
        assert.equal(Math.min(down.bytes, up.bytes), 0);
        for (const { verdict, sha256 } of [down, up]) {
          assert.deepEqual(verdict.incidents, { lost: 0, duplicated: 0, corrupt: 0 });
          assert.equal(sha256.sent, sha256.received);
        }
      }
    }
  });

  test('a pace is kept', async () => {
    const startedMs = performance.now();
    await run('replay', { file, rate: 2 });
    const seconds = (performance.now() - startedMs) / 1000;
    assert.ok(seconds > 0.4 && seconds < 2, `${seconds} s for 1 MB at 2 MB/s`);
  });
});

async function run(delivery: Delivery, options: ServiceOptions): Promise<TransferResult> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const fresh = {
      importState: () => undefined,
      exportState: () => undefined,
      onExportState: () => undefined,
    };
    const service = delivery === 'replay' ? serveFile : serveRecords;
    service(Object.assign(socket, fresh) as ServiceSocket, options);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  try {
    return await transfer(socket, {
      delivery,
      file: options.file,
      ...(options.upload === undefined ? {} : { upload: options.upload }),
      seed: 1,
      rate: options.rate,
      onProgress: () => {},
    });
  } finally {
    socket.destroy();
    server.close();
  }
}
