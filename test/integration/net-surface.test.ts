/**
 * Every name in net's types, and what there is besides: tried on net and on Godwit, with the same outcome, or another one that
 * docs/net.md explains. A difference that is none any more fails too.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import nodeNet from 'node:net';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import godwit from 'godwit';
import ts from 'typescript';
import { ROWS } from './net-surface/rows.ts';
import { World } from './net-surface/world.ts';

const documented = readDifferences(
  readFileSync(join(dirname(dirname(import.meta.dirname)), 'docs/net.md'), 'utf8'),
);

describe('of net', () => {
  for (const [name, check] of Object.entries(ROWS)) {
    const differs = documented.has(name);
    test(`${name} is ${differs ? 'different, as docs/net.md says' : 'the same'}`, async () => {
      const theirs = await outcome(nodeNet, check);
      const ours = await outcome(godwit, check);
      if (differs) assert.notDeepEqual(ours, theirs);
      else assert.deepEqual(ours, theirs);
    });
  }

  test('every name in its types is tried, and every function and class it has at run time', () => {
    const tried = new Set(Object.keys(ROWS).map((name) => name.replace(/ \(.*\)$/, '')));
    const missing = [...namesInTypes(), ...namesAtRunTime()].filter((name) => !tried.has(name));
    assert.deepEqual([...new Set(missing)].sort(), []);
  });

  test('every difference that docs/net.md tells of is tried', () => {
    assert.ok(documented.size > 0);
    assert.deepEqual(
      [...documented].filter((name) => !Object.hasOwn(ROWS, name)),
      [],
    );
  });
});

async function outcome(net: typeof nodeNet | typeof godwit, check: (typeof ROWS)[string]): Promise<unknown> {
  await using world = new World(net);
  try {
    return await check(world);
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    const { name, code } = error as NodeJS.ErrnoException;
    return { threw: name === 'GodwitError' ? 'Error' : name, code };
  }
}

/** First cells of the table in docs/net.md. */
function readDifferences(text: string): Set<string> {
  const table = /<!-- differences:begin -->([\s\S]*)<!-- differences:end -->/.exec(text)?.[1] ?? '';
  const rows = table.split('\n').filter((line) => line.startsWith('| `'));
  return new Set(rows.map((line) => /^\| `([^`]+)`/.exec(line)?.[1] ?? ''));
}

/** What the options of whom are, by the interface that declares them. */
const OPTIONS: Readonly<Record<string, string>> = {
  SocketConstructorOpts: 'option of Socket',
  TcpSocketConnectOpts: 'option of connect',
  IpcSocketConnectOpts: 'option of connect',
  TcpNetConnectOpts: 'option of connect',
  ListenOptions: 'option of listen',
  ServerOpts: 'option of createServer',
  SetKeepAliveOptions: 'option of setKeepAlive',
  OnReadOpts: 'option of onread',
  DropArgument: 'argument of drop',
};

function namesInTypes(): string[] {
  const path = createRequire(import.meta.url).resolve('@types/node/net.d.ts');
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
  const names: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isInterfaceDeclaration(node)) {
      const kind = OPTIONS[node.name.text];
      if (kind !== undefined) names.push(...membersOf(node, source).map((member) => `${kind}: ${member}`));
    } else if (ts.isClassDeclaration(node) && node.name !== undefined) {
      const owner = node.name.text;
      names.push(`net.${owner}`);
      if (owner === 'Socket' || owner === 'Server') {
        names.push(...membersOf(node, source).map((member) => `${owner}#${member}`));
        names.push(...eventsOf(node).map((event) => `${owner} event ${event}`));
      }
    } else if (ts.isFunctionDeclaration(node) && node.name !== undefined) {
      names.push(`net.${node.name.text}`);
    } else {
      ts.forEachChild(node, visit);
    }
  };
  visit(source);
  assert.ok(names.length > 100, `${names.length} names`);
  return names;
}

/** What every emitter has is not net's. */
const OF_EMITTERS = /^(addListener|emit|on|once|prependListener|prependOnceListener)$/;

function membersOf(node: ts.InterfaceDeclaration | ts.ClassDeclaration, source: ts.SourceFile): string[] {
  return node.members.flatMap(({ name }) => {
    const text = name?.getText(source);
    return text === undefined || OF_EMITTERS.test(text) ? [] : [text];
  });
}

/** From the overloads of `on`. */
function eventsOf(node: ts.ClassDeclaration): string[] {
  return node.members.flatMap((member) => {
    if (!ts.isMethodDeclaration(member) || !ts.isIdentifier(member.name) || member.name.text !== 'on')
      return [];
    const type = member.parameters[0]?.type;
    return type !== undefined && ts.isLiteralTypeNode(type) && ts.isStringLiteral(type.literal)
      ? [type.literal.text]
      : [];
  });
}

function namesAtRunTime(): string[] {
  const isPublic = (name: string): boolean => !name.startsWith('_') && name !== 'constructor';
  return [
    ...Object.keys(nodeNet)
      .filter(isPublic)
      .map((name) => `net.${name}`),
    ...Object.getOwnPropertyNames(nodeNet.Socket.prototype)
      .filter(isPublic)
      .map((name) => `Socket#${name}`),
    ...Object.getOwnPropertyNames(nodeNet.Server.prototype)
      .filter(isPublic)
      .map((name) => `Server#${name}`),
  ];
}

after(() => World.removeFolder());
