/** Makes the tables of docs/protocol.md that speak of the core: limits, timers, states, and codes of one side alone. */
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { ERROR_CODES } from '../packages/godwit/src/errors.ts';
import { CLIENT_TRANSITIONS } from '../packages/godwit/src/session/client-state.ts';
import {
  DEFAULT_CLIENT_LIMITS,
  DEFAULT_CLIENT_TIMERS,
  DEFAULT_SERVER_LIMITS,
  DEFAULT_SERVER_TIMERS,
} from '../packages/godwit/src/session/limits.ts';
import { SERVER_TRANSITIONS } from '../packages/godwit/src/session/server-state.ts';
import type { TransitionTable } from '../packages/godwit/src/session/state-table.ts';
import { DEFAULT_HALF_OPEN_LIMITS } from '../packages/godwit/src/server/half-open.ts';
import { DEFAULT_GATE_LIMITS } from '../packages/godwit/src/server/preface-gate.ts';
import { ERROR_CODE } from '../packages/godwit/src/wire/index.ts';
import { pathOf } from './generated-file.ts';

/** Numbers that are part of how this implementation behaves, though no option sets them; a text replaces the comment. */
const CONSTANTS: readonly (readonly [file: string, name: string, text?: string])[] = [
  ['session/send-buffer.ts', 'MAX_FRAME_BYTES'],
  [
    'session/session-output.ts',
    'MAX_TRANSMIT_BYTES',
    'DATA of one session that is written in one go, so that others get their turn.',
  ],
  ['session/session-output.ts', 'DATA_BETWEEN_CHUNKS_BYTES'],
  ['session/receive-buffer.ts', 'MAX_ACK_INTERVAL_BYTES'],
  ['session/client-attempt.ts', 'MAX_EXTENSIONS', 'PROGRESS frames that extend the wait for one MIGRATE.'],
  ['session/session-transfer.ts', 'MAX_TAIL_FACTOR'],
  ['session/rate-limit.ts', 'BURST_SECONDS', 'Of a rate, what so many seconds allow may come at once.'],
  ['session/rate-limit.ts', 'MAX_ASKERS'],
  ['session/answers.ts', 'MAX_UNSENT_FRAMES'],
  ['server/overload.ts', 'MOVES_AT_ONCE', 'Sessions that an overloaded server asks to move at once.'],
  ['server/overload.ts', 'ASK_AGAIN_MS'],
  [
    'server/overload.ts',
    'END_DOWN_TO',
    'Share of `maxMemoryBytes` that is left over when sessions have ended.',
  ],
  ['server/overload.ts', 'ENDS_AT_ONCE'],
  ['server/plain-port.ts', 'LAST_BYTES_TIMEOUT_MS'],
  ['carriers/sharing.ts', 'OWN_CONNECTIONS'],
  ['carriers/sharing.ts', 'ANSWER_TIMEOUT_MS'],
  ['carriers/sharing.ts', 'REFUSED_PAUSE_MS'],
  ['carriers/sharing.ts', 'UNKNOWN_PAUSE_MS'],
  ['carriers/client-trunk.ts', 'TRUNK_IDLE_MS'],
  ['carriers/client-trunk.ts', 'PROBE_TIMEOUT_MS'],
  ['carriers/channel.ts', 'UNREAD_BYTES_MAX'],
  ['carriers/channel.ts', 'BULK_BYTES'],
  ['carriers/channel.ts', 'BULK_WINDOW_MS'],
  ['carriers/trunk.ts', 'QUEUED_BYTES_MAX'],
  ['server/trunks.ts', 'EMPTY_TRUNK_TIMEOUT_MS'],
  ['server/trunks.ts', 'FRUITLESS_CHANNELS_MAX'],
  ['server/trunks.ts', 'FRUITLESS_CHANNELS_PER_SECOND'],
  ['session/vital-signs.ts', 'ACTIVE_MS'],
  ['session/vital-signs.ts', 'PROBE_ACTIVE_MS'],
  ['session/vital-signs.ts', 'REFRESH_ACTIVE_MS'],
  ['crypto/key-ring.ts', 'MAX_KEYS'],
  ['crypto/key-agreement.ts', 'PAIR_LIFETIME_MS'],
  ['crypto/key-agreement.ts', 'PAIR_USES'],
  ['crypto/key-agreement.ts', 'PAIR_KEPT_MS'],
  ['crypto/key-agreement.ts', 'MAX_PAIRS_KEPT'],
  ['cluster/peer-channel.ts', 'MAX_HANDSHAKE_BYTES'],
  ['cluster/peer-channel.ts', 'MAX_RECORD_BYTES'],
  ['cluster/peer-links.ts', 'PEER_DIAL_TIMEOUT_MS'],
  ['cluster/peer-links.ts', 'PEER_IDLE_TIMEOUT_MS'],
  ['cluster/peer-links.ts', 'PEER_QUEUE_LIMIT_BYTES'],
  ['cluster/peer-links.ts', 'MAX_PENDING_LINKS'],
  ['cluster/peer-links.ts', 'MAX_PENDING_LINKS_PER_ADDRESS'],
];

const WORDS = {
  limit: ['limit', 'default', 'meaning'],
  timer: ['timer', 'default, in ms', 'meaning'],
} as const;

/** What goes between the markers, by their name. Throws when a declaration has no comment. */
export function sessionSections(): Readonly<Record<string, string>> {
  return {
    'client-limits': settings('limit', 'session/limits.ts', 'ClientLimits', DEFAULT_CLIENT_LIMITS),
    'server-limits': settings('limit', 'session/limits.ts', 'ServerLimits', DEFAULT_SERVER_LIMITS),
    'gate-limits': settings('limit', 'server/preface-gate.ts', 'GateLimits', DEFAULT_GATE_LIMITS),
    'half-open-limits': settings('limit', 'server/half-open.ts', 'HalfOpenLimits', DEFAULT_HALF_OPEN_LIMITS),
    constants: constantTable(),
    'client-timers': settings('timer', 'session/limits.ts', 'ClientTimers', DEFAULT_CLIENT_TIMERS),
    'server-timers': settings('timer', 'session/limits.ts', 'ServerTimers', DEFAULT_SERVER_TIMERS),
    'client-states': stateTable(CLIENT_TRANSITIONS),
    'server-states': stateTable(SERVER_TRANSITIONS),
    'own-codes': ownCodes(),
  };
}

function settings(kind: keyof typeof WORDS, file: string, name: string, defaults: object): string {
  const rows = membersOf(file, name).map(({ member, comment }) => {
    const value: unknown = Reflect.get(defaults, member);
    if (typeof value !== 'number') throw new Error(`${name}.${member} has no default`);
    return [`\`${member}\``, value.toLocaleString('en-US'), meaning(comment, `${name}.${member}`)];
  });
  return table(WORDS[kind], rows);
}

/** The comment without what the other columns say: the default and, where it is all of them, the unit. */
function meaning(comment: string, where: string): string {
  if (comment === '') throw new Error(`${where} has no comment`);
  return comment
    .replace(/ ?Default [^.;]*([.;])(?= |$)/, (_all, end: string) => (end === ';' ? ' Range' : ''))
    .replaceAll(/, in (?:bytes|ms|milliseconds)(?=[ .;,])/g, '')
    .trim();
}

function membersOf(file: string, name: string): { readonly member: string; readonly comment: string }[] {
  for (const statement of parse(file).statements) {
    if (!ts.isInterfaceDeclaration(statement) || statement.name.text !== name) continue;
    return statement.members.map((member) => ({
      member: (member.name as ts.Identifier).text,
      comment: commentOf(member),
    }));
  }
  throw new Error(`${file} has no ${name}`);
}

function constantTable(): string {
  const rows = CONSTANTS.map(([file, name, text]) => {
    for (const statement of parse(file).statements) {
      if (!ts.isVariableStatement(statement)) continue;
      for (const declaration of statement.declarationList.declarations) {
        if (declaration.name.getText() !== name || declaration.initializer === undefined) continue;
        const value = product(declaration.initializer);
        return [`\`${name}\``, value.toLocaleString('en-US'), meaning(text ?? commentOf(declaration), name)];
      }
    }
    throw new Error(`${file} has no constant ${name}`);
  });
  return table(['name', 'value', 'meaning'], rows);
}

/** A number as constants write it: a literal, or a product or power of such. */
function product(node: ts.Expression): number {
  if (ts.isNumericLiteral(node)) return Number(node.text);
  if (ts.isBinaryExpression(node)) {
    const [left, right] = [product(node.left), product(node.right)];
    if (node.operatorToken.kind === ts.SyntaxKind.AsteriskToken) return left * right;
    if (node.operatorToken.kind === ts.SyntaxKind.AsteriskAsteriskToken) return left ** right;
  }
  throw new Error(`not a number: ${node.getText()}`);
}

/** Every state against every event; `—` where the event is a bug of ours. */
function stateTable<S extends string, E extends string>(transitions: TransitionTable<S, E>): string {
  const states = Object.keys(transitions) as S[];
  const events = [...new Set(states.flatMap((state) => Object.keys(transitions[state]) as E[]))];
  const rows = states.map((state) => [
    `**${state}**`,
    ...events.map((event) => transitions[state][event] ?? '—'),
  ]);
  return table(['in state', ...events.map((event) => `\`${event}\``)], rows);
}

function ownCodes(): string {
  const onTheWire = new Set<string>(Object.values(ERROR_CODE));
  const rows = Object.entries(ERROR_CODES)
    .filter(([code]) => !onTheWire.has(code))
    .map(([code, text]) => [`\`${code}\``, text]);
  return table(['code', 'meaning'], rows);
}

function parse(file: string): ts.SourceFile {
  const path = pathOf('packages', 'godwit', 'src', ...file.split('/'));
  return ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
}

function commentOf(node: ts.Node): string {
  return ts
    .getJSDocCommentsAndTags(node)
    .map(({ comment }) => ts.getTextOfJSDocComment(comment) ?? '')
    .join(' ')
    .replace(/\s+/g, ' ')
    .trim();
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
