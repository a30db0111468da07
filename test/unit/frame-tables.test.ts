/** The tables of the specification are made of the declarations, and are up to date. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { WireCode, frames, peerFrames } from '../../packages/godwit/src/wire/index.ts';
import type { FrameDefinition } from '../../packages/godwit/src/wire/index.ts';
import { PROTOCOL_PATH, fillIn, makeSections } from '../../scripts/frame-tables.ts';

const sections = makeSections();

test(
  'the tables in docs/protocol.md are what the declarations say',
  { skip: !existsSync(PROTOCOL_PATH) },
  () => {
    const text = readFileSync(PROTOCOL_PATH, 'utf8');
    assert.equal(text, fillIn(text, sections), 'run `node scripts/frame-tables.ts`');
  },
);

describe('the tables', () => {
  test('have every frame with every field, and a meaning for each', () => {
    const tables: Readonly<Record<string, Readonly<Record<string, FrameDefinition>>>> = {
      frames,
      'peer-frames': peerFrames,
    };
    for (const [section, table] of Object.entries(tables)) {
      for (const [name, { type, fields }] of Object.entries(table)) {
        const title = name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
        const heading = `#### ${title} \`0x${type.toString(16).padStart(2, '0')}\``;
        const text = sections[section]?.split(`${heading}\n`)[1]?.split('#### ')[0] ?? '';
        for (const field of Object.keys(fields))
          assert.match(text, new RegExp(`\\| \`${field}\` \\| \\S.* \\|$`, 'm'), title);
      }
    }
  });

  test('give offsets as long as they are the same in every frame', () => {
    assert.match(sections['frames'] ?? '', /\| 6 \| 6 \| `k` \| .*\n\| 12 \| 8 \| `input` \|/);
    assert.match(
      sections['frames'] ?? '',
      /\| 22 \| 2 \+ n, n ≤ 64 \| `service` \| .*\n\| {2}\| 32 \| `keyShare` \|/,
    );
  });

  test('have every code and the limits with their values', () => {
    for (const [name, code] of Object.entries(WireCode)) {
      assert.match(
        sections['codes'] ?? '',
        new RegExp(`^\\| ${code} \\| \`${name}\` \\|.*\\| [A-Z].* \\|$`, 'm'),
      );
    }
    assert.match(
      sections['limits'] ?? '',
      /^\| `MAX_DATA_BYTES` \| 1,048,576 \| Largest payload of one DATA/m,
    );
  });
});

describe('a section is put between its markers', () => {
  const filled = { frames: 'table' };

  test('in place of what was there, and of nothing else', () => {
    const text = 'a\n<!-- frames:begin -->\nold\n<!-- frames:end -->\nb <!-- codes:begin -->';
    const expected = 'a\n<!-- frames:begin -->\ntable\n<!-- frames:end -->\nb <!-- codes:begin -->';
    assert.equal(fillIn(text, filled), expected);
    assert.equal(fillIn(expected, filled), expected);
  });

  test('or nowhere, when they are not there', () => {
    assert.equal(fillIn('a <!-- peer-frames:begin --> b', filled), 'a <!-- peer-frames:begin --> b');
  });

  test('and not when one is missing, doubled or in the wrong place', () => {
    const [begin, end] = ['<!-- frames:begin -->', '<!-- frames:end -->'];
    for (const text of [
      begin,
      end,
      end + begin,
      begin + begin + end,
      begin + end + end,
      begin + end + begin + end,
    ]) {
      assert.throws(() => fillIn(text, filled), /must come once each/, text);
    }
  });
});
