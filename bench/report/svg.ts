/** As much SVG as plots need. */

export const COLOURS = {
  ink: '#1f2933',
  faint: '#cbd2d9',
  paper: '#ffffff',
  godwit: '#0b7285',
  other: '#868e96',
  good: '#2b8a3e',
  fair: '#e67700',
  poor: '#c92a2a',
} as const;

const FONT = 'system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';

export interface TextStyle {
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly size?: number;
  readonly weight?: 'normal' | 'bold';
  readonly fill?: string;
}

export interface LineStyle {
  readonly colour?: string;
  readonly width?: number;
}

/** A whole picture. */
export function svg(width: number, height: number, title: string, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    // A page may be dark; the picture is not.
    `<rect width="${width}" height="${height}" fill="${COLOURS.paper}"/>`,
    text(24, 32, title, { size: 17, weight: 'bold' }),
    ...parts,
    '</svg>\n',
  ].join('\n');
}

export function text(
  x: number,
  y: number,
  content: string,
  { anchor = 'start', size = 13, weight = 'normal', fill = COLOURS.ink }: TextStyle = {},
): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}" font-family='${FONT}' font-size="${size}" font-weight="${weight}" text-anchor="${anchor}" fill="${fill}">${escape(content)}</text>`;
}

export function rectangle(x: number, y: number, width: number, height: number, fill: string): string {
  return `<rect x="${fixed(x)}" y="${fixed(y)}" width="${fixed(width)}" height="${fixed(height)}" fill="${fill}"/>`;
}

export function line(
  [x1, y1]: readonly [number, number],
  [x2, y2]: readonly [number, number],
  { colour = COLOURS.faint, width = 1 }: LineStyle = {},
): string {
  return `<line x1="${fixed(x1)}" y1="${fixed(y1)}" x2="${fixed(x2)}" y2="${fixed(y2)}" stroke="${colour}" stroke-width="${width}"/>`;
}

export function polyline(
  points: readonly (readonly [number, number])[],
  colour: string,
  width = 2.5,
): string {
  const all = points.map(([x, y]) => `${fixed(x)},${fixed(y)}`).join(' ');
  return `<polyline points="${all}" fill="none" stroke="${colour}" stroke-width="${width}" stroke-linejoin="round"/>`;
}

export function circle(x: number, y: number, radius: number, fill: string): string {
  return `<circle cx="${fixed(x)}" cy="${fixed(y)}" r="${radius}" fill="${fill}"/>`;
}

/** A scale that turns factors into distances. */
export function logarithmic(
  [from, to]: readonly [number, number],
  [start, end]: readonly [number, number],
): (value: number) => number {
  const share = (value: number): number =>
    (Math.log(Math.min(to, Math.max(from, value))) - Math.log(from)) / (Math.log(to) - Math.log(from));
  return (value) => start + share(value) * (end - start);
}

function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
