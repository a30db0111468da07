import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkHandler } from 'godwit/testing';
import { sendFile } from './file-server.ts';

test('a file arrives whole, wherever the server dies', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'godwit-example-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'file');
  const file = Buffer.from(Array.from({ length: 50_000 }, (_, index) => (index * index) % 251));
  writeFileSync(path, file);
  const report = await checkHandler((socket) => sendFile(socket, 0), {
    // It goes on reading when it has asked: a client that ends its side would end the server's too.
    client: async (socket) => {
      socket.write(`${path}\n`);
      for await (const chunk of socket) assert.ok((chunk as Buffer).length > 0);
    },
    crashes: 40,
  });
  assert.ok(report.output.equals(file));
  assert.ok(report.restores > 0);
});
