/**
 * Writes the tables of docs/protocol.md out of the declarations in wire/ and session/, between markers such as
 * `<!-- frames:begin -->` and `<!-- frames:end -->`; a section whose markers are not there is left out.
 * `node scripts/frame-tables.ts` writes, `--check` compares.
 */
import { existsSync, readFileSync } from 'node:fs';
import {
  DATA_TYPE,
  ERROR_CODE,
  WireCode,
  frames,
  peerFrames,
  schema,
} from '../packages/godwit/src/wire/index.ts';
import type { Direction, FrameDefinition } from '../packages/godwit/src/wire/index.ts';
import * as limits from '../packages/godwit/src/wire/limits.ts';
import * as values from '../packages/godwit/src/wire/values.ts';
import type { Fields } from '../packages/godwit/src/wire/schema.ts';
import { pathOf, writeOrCheck } from './generated-file.ts';
import { sessionSections } from './session-tables.ts';
import { readDeclarations } from './wire-comments.ts';
import type { Declarations, Documented } from './wire-comments.ts';

export const PROTOCOL_PATH = pathOf('docs', 'protocol.md');

/** What goes between the markers, by their name. Throws when a declaration has no comment. */
export function makeSections(): Readonly<Record<string, string>> {
  const declarations = readDeclarations();
  return {
    frames: frameSection(frames, declarations.frames),
    'peer-frames': frameSection(peerFrames, declarations.peerFrames),
    values: valueTables(declarations),
    codes: codeTable(declarations),
    limits: limitTable(declarations),
    ...sessionSections(),
  };
}

/** Puts the sections between their markers. Throws on a marker that has no counterpart. */
export function fillIn(markdown: string, sections: Readonly<Record<string, string>>): string {
  return Object.entries(sections).reduce((text, [name, section]) => {
    const begin = `<!-- ${name}:begin -->`;
    const end = `<!-- ${name}:end -->`;
    const [before = '', ...behind] = text.split(begin);
    const [, ...after] = behind.join(begin).split(end);
    if (before === text && !text.includes(end)) return text;
    if (behind.length !== 1 || after.length !== 1)
      throw new Error(`${begin} and ${end} must come once each, in this order`);
    return `${before}${begin}\n${section}\n${end}${after[0]}`;
  }, markdown);
}

const SENDER = { client: 'client', server: 'server', both: 'either' } as const;

/** A summary, and a table for each frame, by type. */
function frameSection(
  table: Readonly<Record<string, FrameDefinition>>,
  documented: ReadonlyMap<string, Documented>,
): string {
  const all = Object.entries(table).map(([name, definition]) =>
    describe(name, definition, documented.get(name)),
  );
  const isCarrier = table === frames;
  if (isCarrier) all.push(DATA);
  all.sort((a, b) => a.type - b.type);
  const summary = markdownTable(
    ['type', 'frame', ...(isCarrier ? ['from'] : []), 'payload, in bytes'],
    all.map(({ type, title, from, lengths }) => [
      hex(type),
      `[${title}](#${anchor(title, type)})`,
      ...(isCarrier ? [SENDER[from]] : []),
      lengths,
    ]),
  );
  const tables = all.map(({ type, title, comment, from, lengths, rows }) => {
    const sender = from === 'both' ? 'From either' : `From the ${from}`;
    if (rows.length === 0)
      return [`#### ${title} ${hex(type)}`, comment, `${isCarrier ? `${sender}, no` : 'No'} payload`].join(
        '\n\n',
      );
    return [
      `#### ${title} ${hex(type)}`,
      comment,
      `${isCarrier ? `${sender}, payload` : 'Payload'}: ${lengths} bytes`,
      markdownTable(['offset', 'size', 'field', 'meaning'], rows),
    ].join('\n\n');
  });
  return [summary, ...tables].join('\n\n');
}

interface Described {
  readonly type: number;
  readonly title: string;
  readonly comment: string;
  readonly from: Direction;
  readonly lengths: string;
  readonly rows: readonly (readonly string[])[];
}

function describe(name: string, definition: FrameDefinition, documented: Documented | undefined): Described {
  const { type, from, max, fields } = definition;
  const min = schema.sumOf(fields, 'minBytes');
  return {
    type,
    title: name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase(),
    comment: commentOf(documented, name),
    from,
    lengths: min === max ? count(min) : `${count(min)} … ${count(max)}`,
    rows: fieldRows(fields, documented, name),
  };
}

/** DATA is no struct of fields, so it is not among the frames. */
const DATA: Described = {
  type: DATA_TYPE,
  title: 'DATA',
  comment:
    "The next bytes of the sender's stream, within the credit; their offset follows from where the attach began. " +
    'A receiver passes them on as they arrive. The limit is the same before authentication.',
  from: 'both',
  lengths: `0 … ${count(limits.MAX_DATA_BYTES)}`,
  rows: [['0', 'rest', '`bytes`', 'Bytes of the stream.']],
};

function fieldRows(
  fields: Fields,
  documented: Documented | undefined,
  where: string,
  indent = '',
): string[][] {
  let offset: number | undefined = indent === '' ? 0 : undefined;
  return Object.entries(fields).flatMap(([name, { shape, size, minBytes, maxBytes }]) => {
    const field = documented?.members.get(name);
    const at = offset === undefined ? '' : String(offset);
    offset = offset === undefined || minBytes !== maxBytes ? undefined : offset + minBytes;
    const meaning = commentOf(field, `${where}.${name}`);
    if (shape.kind !== 'list') return [[at, size, `${indent}\`${name}\``, meaning]];
    const items = fieldRows(shape.fields, field, `${where}.${name}`, `${indent}· `);
    return [[at, `2, then n ≤ ${shape.max} ×`, `${indent}\`${name}\``, meaning], ...items];
  });
}

function valueTables(declarations: Declarations): string {
  const named = Object.entries(values).filter(([, table]) => !Array.isArray(table));
  return named
    .map(([name, table]) => {
      const documented = declarations.values.get(name);
      const rows = Object.entries(table).map(([value, number]) => [
        String(number),
        `\`${value}\``,
        commentOf(documented?.members.get(value), `${name}.${value}`),
      ]);
      return `**${name}.** ${commentOf(documented, name)}\n\n${markdownTable(['value', 'name', 'meaning'], rows)}`;
    })
    .join('\n\n');
}

function codeTable(declarations: Declarations): string {
  const documented = declarations.codes;
  const rows = Object.entries(WireCode).map(([name, code]) => [
    String(code),
    `\`${name}\``,
    code === WireCode.None ? '' : `\`${ERROR_CODE[code]}\``,
    commentOf(documented.members.get(name), `WireCode.${name}`),
  ]);
  return markdownTable(['code', 'name', 'applications see', 'meaning'], rows);
}

function limitTable(declarations: Declarations): string {
  const rows = Object.entries(limits).map(([name, value]) => [
    `\`${name}\``,
    count(value),
    commentOf(declarations.limits.get(name), name),
  ]);
  return markdownTable(['limit', 'value', 'meaning'], rows);
}

function commentOf(documented: Documented | undefined, where: string): string {
  if (documented === undefined || documented.comment === '')
    throw new Error(`${where} has no comment in wire/`);
  return documented.comment;
}

/** As GitHub makes it of the heading. */
function anchor(title: string, type: number): string {
  return `${title}-${hex(type)}`.replaceAll('`', '').toLowerCase();
}

function hex(type: number): string {
  return `\`0x${type.toString(16).padStart(2, '0')}\``;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

if (import.meta.main) {
  const sections = makeSections();
  if (existsSync(PROTOCOL_PATH)) {
    const text = fillIn(readFileSync(PROTOCOL_PATH, 'utf8'), sections);
    process.exitCode = writeOrCheck(PROTOCOL_PATH, text, 'scripts/frame-tables.ts');
  } else {
    console.log('docs/protocol.md is not there');
  }
}
