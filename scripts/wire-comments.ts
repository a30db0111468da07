/** Reads the doc comments of what wire/ declares: they are what protocol.md says of frames, fields, codes and limits. */
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { pathOf } from './generated-file.ts';

/** A declaration with its comment, on one line; empty when it has none. */
export interface Documented {
  readonly comment: string;
  /** Of an object or a call that takes one: its properties. */
  readonly members: ReadonlyMap<string, Documented>;
}

export interface Declarations {
  readonly frames: ReadonlyMap<string, Documented>;
  readonly peerFrames: ReadonlyMap<string, Documented>;
  readonly values: ReadonlyMap<string, Documented>;
  readonly codes: Documented;
  readonly limits: ReadonlyMap<string, Documented>;
}

export function readDeclarations(): Declarations {
  const shared = new Map([...readFile('definition.ts'), ...readFile('schema.ts')]);
  const membersOf = (file: string, name: string): ReadonlyMap<string, Documented> =>
    readFile(file, shared).get(name)?.members ?? new Map<string, Documented>();
  return {
    frames: membersOf('frames.ts', 'frames'),
    peerFrames: membersOf('peer-frames.ts', 'peerFrames'),
    values: readFile('values.ts'),
    codes: readFile('codes.ts').get('WireCode') ?? NOTHING,
    limits: readFile('limits.ts'),
  };
}

const NOTHING: Documented = { comment: '', members: new Map() };

/** The constants at the top of a file. Those that it imports are looked up in `known`. */
function readFile(name: string, known: ReadonlyMap<string, Documented> = new Map()): Map<string, Documented> {
  const path = pathOf('packages', 'godwit', 'src', 'wire', name);
  const tree = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const all = new Map(known);
  const own = new Map<string, Documented>();
  for (const statement of tree.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    for (const declaration of statement.declarationList.declarations) {
      const documented = describe(declaration, declaration.initializer, all);
      all.set(declaration.name.getText(), documented);
      own.set(declaration.name.getText(), documented);
    }
  }
  return own;
}

/** A declaration says what its comment says, or else what the constant says that it refers to. */
function describe(
  node: ts.Node,
  value: ts.Expression | undefined,
  known: ReadonlyMap<string, Documented>,
): Documented {
  const referred = value !== undefined && ts.isIdentifier(value) ? known.get(value.text) : undefined;
  const comment = commentOf(node) || (referred?.comment ?? '');
  return { comment, members: value === undefined ? new Map() : membersOf(value, known) };
}

function membersOf(
  value: ts.Expression,
  known: ReadonlyMap<string, Documented>,
): ReadonlyMap<string, Documented> {
  if (ts.isAsExpression(value)) return membersOf(value.expression, known);
  if (ts.isIdentifier(value)) return known.get(value.text)?.members ?? new Map<string, Documented>();
  if (ts.isCallExpression(value)) {
    // define(0x01, 'client', { … }) and list({ … }, 5): the fields are the first argument that has members.
    const members = value.arguments.map((argument) => membersOf(argument, known));
    return members.find(({ size }) => size > 0) ?? new Map<string, Documented>();
  }
  const members = new Map<string, Documented>();
  if (!ts.isObjectLiteralExpression(value)) return members;
  for (const property of value.properties) {
    if (ts.isSpreadAssignment(property)) {
      for (const [name, member] of membersOf(property.expression, known)) members.set(name, member);
    } else if (ts.isPropertyAssignment(property)) {
      members.set(property.name.getText(), describe(property, property.initializer, known));
    } else if (ts.isShorthandPropertyAssignment(property)) {
      members.set(property.name.text, describe(property, property.name, known));
    }
  }
  return members;
}

function commentOf(node: ts.Node): string {
  return ts
    .getJSDocCommentsAndTags(node)
    .map(({ comment }) => ts.getTextOfJSDocComment(comment) ?? '')
    .join(' ')
    .replace(/\s+/g, ' ')
    .trim();
}
