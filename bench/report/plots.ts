/** The pictures in docs/performance.md, made of what was measured last. */
import type { BenchmarkName } from '../catalog.ts';
import type { Figure } from '../harness/bench.ts';
import { LIMITS, type Limit } from '../limits.ts';
import type { Latest } from './results.ts';
import { COLOURS, circle, line, logarithmic, polyline, rectangle, svg, text } from './svg.ts';
import { verdictOf, type Verdict } from './table.ts';

const VERDICT_COLOURS: Readonly<Record<Verdict, string>> = {
  aim: COLOURS.good,
  reached: COLOURS.fair,
  missed: COLOURS.poor,
};

const VERDICT_WORDS: Readonly<Record<Verdict, string>> = {
  aim: 'as aimed at',
  reached: 'reached',
  missed: 'missed',
};

/** Those that can be made of it, by name. */
export function makePlots(latest: Latest): Readonly<Record<string, string>> {
  const plots = {
    figures: plotFigures(latest),
    blackouts: plotBlackouts(latest),
    scale: plotScale(latest),
    peers: plotPeers(latest),
  };
  return Object.fromEntries(
    Object.entries(plots).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

function figureOf({ figures }: Latest, name: BenchmarkName): Figure | undefined {
  const outcome = figures[name];
  return outcome === undefined || 'skipped' in outcome ? undefined : outcome;
}

/** How far each figure is from the one to reach: beyond the line is better, whichever way the figure goes. */
function plotFigures(latest: Latest): string | undefined {
  const names = (Object.keys(LIMITS) as BenchmarkName[]).filter(
    (name) => figureOf(latest, name) !== undefined,
  );
  if (names.length === 0) return undefined;
  const [left, width, top, step] = [170, 860, 96, 30];
  const bottom = top + names.length * step;
  const x = logarithmic([0.1, 10], [left, width - 130]);
  const parts = [
    text(
      24,
      56,
      'How many times as good as the figure to reach. Bars: median; whiskers: the worst and the best pair.',
    ),
    ...(['aim', 'reached', 'missed'] as const).flatMap((verdict, place) => [
      rectangle(left + place * 130, 68, 12, 12, VERDICT_COLOURS[verdict]),
      text(left + 18 + place * 130, 79, VERDICT_WORDS[verdict]),
    ]),
    ...[0.1, 0.2, 0.5, 1, 2, 5, 10].flatMap((value) => [
      line([x(value), top - 6], [x(value), bottom], value === 1 ? { colour: COLOURS.ink, width: 1.5 } : {}),
      text(x(value), bottom + 18, value === 1 ? 'reach' : `${value} ×`, { anchor: 'middle', size: 12 }),
    ]),
  ];
  names.forEach((name, place) => {
    const { ratio, spread } = figureOf(latest, name) as Figure;
    const limit: Limit = LIMITS[name];
    const good = (value: number): number =>
      limit.better === 'higher' ? value / limit.reach : limit.reach / Math.max(value, Number.EPSILON);
    const y = top + place * step;
    const [from, to] = [x(1), x(good(ratio))];
    const colour = VERDICT_COLOURS[verdictOf(limit, ratio)];
    const sign = limit.better === 'higher' ? '≥' : '≤';
    parts.push(
      text(left - 12, y + 18, name, { anchor: 'end' }),
      rectangle(Math.min(from, to), y + 5, Math.max(2, Math.abs(to - from)), step - 12, colour),
      line([x(good(spread[0])), y + 14], [x(good(spread[1])), y + 14], { colour: COLOURS.ink, width: 1.5 }),
      text(width - 118, y + 18, `${ratio}  (${sign} ${limit.reach})`),
    );
  });
  return svg(width, bottom + 36, 'Figures against what they are to reach', parts);
}

interface Distribution {
  readonly percentiles: readonly number[];
  readonly distributionMs: { readonly godwit: readonly number[]; readonly net: readonly number[] };
}

/** How many blackouts were shorter than what. */
function plotBlackouts(latest: Latest): string | undefined {
  const crash = figureOf(latest, 'crashBlackout') as (Figure & Distribution) | undefined;
  const planned = figureOf(latest, 'plannedBlackout') as (Figure & Distribution) | undefined;
  if (crash === undefined || planned === undefined) return undefined;
  const curves = [
    {
      title: 'Godwit, planned move',
      of: planned,
      values: planned.distributionMs.godwit,
      colour: COLOURS.good,
    },
    {
      title: 'Godwit, server killed',
      of: crash,
      values: crash.distributionMs.godwit,
      colour: COLOURS.godwit,
    },
    {
      title: 'net, server killed, begins anew',
      of: crash,
      values: crash.distributionMs.net,
      colour: COLOURS.other,
    },
  ];
  const [left, right, top, bottom] = [70, 830, 110, 400];
  const x = logarithmic([0.1, 1_000], [left, right]);
  const y = (percent: number): number => bottom - (percent / 100) * (bottom - top);
  const parts = [
    text(24, 56, 'Share of blackouts that were no longer than so many milliseconds.'),
    ...curves.flatMap(({ title, colour }, place) => [
      rectangle(left + place * 250, 70, 22, 5, colour),
      text(left + 30 + place * 250, 77, title),
    ]),
    ...[0.1, 1, 10, 100, 1_000].flatMap((value) => [
      line([x(value), top], [x(value), bottom]),
      text(x(value), bottom + 20, `${value} ms`, { anchor: 'middle', size: 12 }),
    ]),
    ...[0, 25, 50, 75, 100].flatMap((percent) => [
      line([left, y(percent)], [right, y(percent)]),
      text(left - 10, y(percent) + 4, `${percent} %`, { anchor: 'end', size: 12 }),
    ]),
    ...curves.map(({ of, values, colour }) =>
      polyline(
        values.map((value, index) => [x(value), y(of.percentiles[index] ?? 0)]),
        colour,
      ),
    ),
  ];
  return svg(860, 440, 'Blackouts', parts);
}

interface Points {
  readonly points: Readonly<
    Record<
      'godwit' | 'net',
      Readonly<
        Record<
          string,
          { readonly cpuUs: number; readonly heapBytes: number; readonly requestsPerSecond: number }
        >
      >
    >
  >;
}

/** What a session costs where there are many. */
function plotScale(latest: Latest): string | undefined {
  const figure = figureOf(latest, 'scale') as (Figure & Points) | undefined;
  if (figure === undefined) return undefined;
  const panels = [
    { title: 'processor a request, both ends, µs', key: 'cpuUs' },
    { title: 'heap of a session, both ends, bytes', key: 'heapBytes' },
  ] as const;
  const [top, bottom] = [130, 380];
  const parts = [
    ...(['godwit', 'net'] as const).flatMap((name, place) => [
      rectangle(70 + place * 120, 50, 22, 5, name === 'godwit' ? COLOURS.godwit : COLOURS.other),
      text(100 + place * 120, 57, name),
    ]),
  ];
  panels.forEach(({ title, key }, panel) => {
    const [left, right] = [70 + panel * 430, 410 + panel * 430];
    const counts = Object.keys(figure.points.godwit).map(Number);
    const x = logarithmic([counts[0] ?? 1, counts.at(-1) ?? 10], [left, right]);
    const highest = Math.max(
      ...Object.values(figure.points).flatMap((of) => Object.values(of).map((point) => point[key])),
    );
    const y = (value: number): number => bottom - (value / (highest * 1.1)) * (bottom - top);
    parts.push(text(left, 100, title, { weight: 'bold' }));
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      const value = share * highest;
      parts.push(
        line([left, y(value)], [right, y(value)]),
        text(left - 8, y(value) + 4, label(value), { anchor: 'end', size: 12 }),
      );
    }
    for (const count of counts)
      parts.push(text(x(count), bottom + 20, count.toLocaleString('en-US'), { anchor: 'middle', size: 12 }));
    for (const name of ['godwit', 'net'] as const) {
      const colour = name === 'godwit' ? COLOURS.godwit : COLOURS.other;
      const points = counts.map(
        (count) => [x(count), y(figure.points[name][String(count)]?.[key] ?? 0)] as const,
      );
      parts.push(polyline(points, colour), ...points.map(([px, py]) => circle(px, py, 4, colour)));
    }
  });
  parts.push(text(425, bottom + 44, 'sessions', { anchor: 'middle' }));
  return svg(870, 444, 'What a session costs where there are many', parts);
}

function label(value: number): string {
  return value >= 1_000 ? `${(value / 1_000).toFixed(1)} k` : value.toFixed(value < 10 ? 1 : 0);
}

/** Blackouts of the peers, and what came twice. */
function plotPeers({ peers }: Latest): string | undefined {
  const rows = Object.values(peers ?? {}).filter(({ blackout }) => blackout !== undefined);
  if (rows.length === 0) return undefined;
  const [left, width, top, step] = [300, 860, 92, 36];
  const bottom = top + rows.length * step;
  const x = logarithmic([1, 1_000], [left, width - 190]);
  const parts = [
    text(
      24,
      56,
      'Longest gap at the client when its server is killed: median, and a line to the 99th percentile.',
    ),
    ...[1, 10, 100, 1_000].flatMap((value) => [
      line([x(value), top - 8], [x(value), bottom]),
      text(x(value), bottom + 18, `${value} ms`, { anchor: 'middle', size: 12 }),
    ]),
    text(width - 176, top - 14, 'lost, doubled', { size: 12 }),
  ];
  rows.forEach(({ title, blackout = 0, blackoutP99 = 0, lost = 0, doubled = 0 }, place) => {
    const y = top + place * step;
    const colour = title === 'Godwit' ? COLOURS.godwit : COLOURS.other;
    parts.push(
      text(left - 12, y + 20, title, { anchor: 'end', size: 12.5 }),
      rectangle(x(1), y + 6, Math.max(2, x(blackout) - x(1)), step - 16, colour),
      line([x(blackout), y + 16], [x(blackoutP99), y + 16], { colour: COLOURS.ink, width: 1.5 }),
      text(width - 176, y + 20, `${bytes(lost)}, ${bytes(doubled)}`, {
        size: 12.5,
        fill: lost + doubled > 0 ? COLOURS.poor : COLOURS.good,
      }),
    );
  });
  return svg(width, bottom + 36, 'The same by other means', parts);
}

function bytes(count: number): string {
  if (count >= 1e6) return `${(count / 1e6).toFixed(0)} MB`;
  return count >= 1e3 ? `${(count / 1e3).toFixed(0)} kB` : `${count} B`;
}
