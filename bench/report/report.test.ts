import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Figure } from '../harness/bench.ts';
import { fillPage } from './page.ts';
import { makePlots } from './plots.ts';
import { PAGE, RESULTS_FOLDER, readLatest, type Latest } from './results.ts';
import { figureTable, markdownTable, peerTable, verdictOf } from './table.ts';

describe('docs/performance.md and its plots', () => {
  const latest = readLatest();

  test('are made of bench/results/latest.json as it is: `node scripts/performance-page.ts` makes them anew', () => {
    const page = readFileSync(PAGE, 'utf8');
    assert.equal(fillPage(page, latest), page);
    for (const [name, svg] of Object.entries(makePlots(latest)))
      assert.equal(readFileSync(join(RESULTS_FOLDER, `${name}.svg`), 'utf8'), svg, `${name}.svg`);
  });

  test('a page without a place for a section is refused', () => {
    assert.throws(() => fillPage('# Performance\n', latest), /no place for figures/);
  });
});

const figure: Figure = {
  ratio: 0.97,
  godwit: 1.94,
  net: 2,
  spread: [0.9, 1.1],
  unit: 'GB/s',
  pairs: 7,
};

test('a figure stands by its limits', () => {
  const limit = { better: 'higher', reach: 0.95, aim: 1, gross: 0.475 } as const;
  assert.equal(verdictOf(limit, 1.2), 'aim');
  assert.equal(verdictOf(limit, 0.97), 'reached');
  assert.equal(verdictOf(limit, 0.9), 'missed');
});

test('a row says what a figure was held against, and a skipped one why', () => {
  const { rows } = figureTable({
    bulkDown: figure,
    snapshots: { ...figure, without: 3 },
    http: { skipped: 'no reason' },
  });
  assert.deepEqual(rows[0]?.slice(0, 6), ['bulkDown', '0.97', '0.9 … 1.1', '1.94', '2', 'GB/s']);
  assert.equal(rows[1]?.[4], '3');
  assert.equal(rows[2]?.at(-1), 'no reason');
});

test('a table in Markdown has a cell for each heading in every row', () => {
  const peer = { title: 'T', clientHadTo: 'nothing' };
  const table = peerTable({
    godwit: { ...peer, throughput: 1, lost: 0, doubled: 0 },
    ws: { ...peer, skipped: 'why' },
  });
  const lines = markdownTable(table).split('\n');
  assert.equal(lines.length, 4);
  for (const line of lines) assert.equal(line.split('|').length, table.headings.length + 2, line);
});

test('plots are made of whatever figures there are', () => {
  const empty: Latest = { figures: {}, measured: {} };
  assert.deepEqual(makePlots(empty), {});
  const { figures } = makePlots({ ...empty, figures: { bulkDown: figure } });
  assert.match(figures ?? '', /^<svg [\s\S]*bulkDown[\s\S]*<\/svg>\n$/);
});
