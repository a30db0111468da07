/** Puts what was measured last into docs/performance.md, between the marks that are there for it. */
import { makePlots } from './plots.ts';
import type { Latest, Machine } from './results.ts';
import { figureTable, markdownTable, peerTable } from './table.ts';

/** The page with its sections made anew. Throws when a mark is missing. */
export function fillPage(page: string, latest: Latest): string {
  let filled = page;
  for (const [name, section] of Object.entries(makeSections(latest))) {
    const marks = new RegExp(`(<!-- ${name}:begin -->\n)[\\s\\S]*?(<!-- ${name}:end -->)`);
    if (!marks.test(filled)) throw new Error(`docs/performance.md has no place for ${name}`);
    filled = filled.replace(marks, (_, begin: string, end: string) => `${begin}${section}${end}`);
  }
  return filled;
}

function makeSections(latest: Latest): Readonly<Record<string, string>> {
  const { figures, peers, measured } = latest;
  const { peers: peersOn, ...figuresOn } = measured;
  const plots = makePlots(latest);
  const plot = (name: string, caption: string): string =>
    plots[name] === undefined ? '' : `\n![${caption}](../bench/results/${name}.svg)\n`;
  return {
    figures:
      Object.keys(figures).length === 0
        ? 'Not measured yet.\n'
        : `${markdownTable(figureTable(figures))}\n\n${origin(Object.values(figuresOn))}\n` +
          plot('figures', 'Figures against what they are to reach'),
    details: plot('blackouts', 'Blackouts') + plot('scale', 'What a session costs where there are many'),
    peers:
      peers === undefined || peersOn === undefined
        ? 'Not measured yet.\n'
        : `${markdownTable(peerTable(peers))}\n\n${origin([peersOn])}\n` +
          plot('peers', 'The same by other means'),
  };
}

/** Where the figures come from, in a sentence. */
function origin(machines: readonly Machine[]): string {
  const sentences = machines.map(
    ({ on, node, platform, processors }) =>
      `Measured on ${on} with Node ${node} on ${platform}, ${processors}.`,
  );
  return [...new Set(sentences)].join(' ');
}
