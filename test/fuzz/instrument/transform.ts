/**
 * Sources as the fuzzer runs them: each block reports that it ran, each allocation how large it is, and private members
 * are ordinary ones (`#x` is `$x`), so that properties can be checked of all state and not only of what an interface tells.
 */
import ts from 'typescript';
import { RUNTIME_NAME } from './runtime.ts';

export interface TransformOptions {
  readonly path: string;
  /** Whether blocks and allocations are counted; members are opened in any case. */
  readonly counts: boolean;
}

const HIT = '__hit';
const ALLOCATED = '__allocated';

export function transform(text: string, { path, counts }: TransformOptions): string {
  const lines: number[] = [];
  const { outputText } = ts.transpileModule(text, {
    fileName: path,
    compilerOptions: {
      target: ts.ScriptTarget.ESNext,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: true,
    },
    transformers: { before: [transformer(counts ? lines : undefined)] },
  });
  if (lines.length === 0) return outputText;
  // On the first line, so that the source map only misses columns of that one.
  return (
    `const __runtime = globalThis.${RUNTIME_NAME}, __first = __runtime.register(${JSON.stringify(path)}, [${lines.join()}]), ` +
    `${HIT} = (block) => __runtime.hit(__first + block), ${ALLOCATED} = (bytes) => __runtime.allocated(bytes); ${outputText}`
  );
}

/** `lines` takes the line of each block; without it nothing is counted. */
function transformer(lines: number[] | undefined): ts.TransformerFactory<ts.SourceFile> {
  return (context) => (source) => {
    const { factory } = context;

    const hitAt = (node: ts.Node, into: number[]): ts.CallExpression => {
      into.push(source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1);
      return factory.createCallExpression(factory.createIdentifier(HIT), undefined, [
        factory.createNumericLiteral(into.length - 1),
      ]);
    };
    const statement = (node: ts.Node, into: number[]): ts.Statement =>
      factory.createExpressionStatement(hitAt(node, into));
    const expression = (node: ts.Expression, into: number[]): ts.Expression => {
      const hit = hitAt(node, into);
      return factory.createParenthesizedExpression(factory.createComma(hit, visit(node) as ts.Expression));
    };
    /** A statement of a branch or loop as a block that counts. */
    const branch = (node: ts.Statement, into: number[]): ts.Block => {
      const hit = statement(node, into);
      const visited = visit(node) as ts.Statement;
      return factory.createBlock([hit, ...(ts.isBlock(visited) ? visited.statements : [visited])], true);
    };

    const counted = (node: ts.Node, into: number[]): ts.Node | undefined => {
      if (ts.isIfStatement(node)) {
        return factory.updateIfStatement(
          node,
          visit(node.expression) as ts.Expression,
          branch(node.thenStatement, into),
          node.elseStatement
            ? branch(node.elseStatement, into)
            : factory.createBlock([statement(node, into)], true),
        );
      }
      if (ts.isConditionalExpression(node)) {
        return factory.updateConditionalExpression(
          node,
          visit(node.condition) as ts.Expression,
          node.questionToken,
          expression(node.whenTrue, into),
          node.colonToken,
          expression(node.whenFalse, into),
        );
      }
      if (ts.isBinaryExpression(node) && SHORT_CIRCUITS.has(node.operatorToken.kind)) {
        const left = visit(node.left) as ts.Expression;
        return factory.updateBinaryExpression(node, left, node.operatorToken, expression(node.right, into));
      }
      if (ts.isCaseOrDefaultClause(node)) {
        const hit = statement(node, into);
        const statements = [hit, ...node.statements.map((inner) => visit(inner) as ts.Statement)];
        return ts.isDefaultClause(node)
          ? factory.updateDefaultClause(node, statements)
          : factory.updateCaseClause(node, visit(node.expression) as ts.Expression, statements);
      }
      if (ts.isIterationStatement(node, false)) {
        const visited = ts.visitEachChild(node, visit, context) as ts.IterationStatement & {
          -readonly [N in 'statement']: ts.Statement;
        };
        const body = ts.isBlock(visited.statement) ? visited.statement.statements : [visited.statement];
        return replaceBody(factory, visited, factory.createBlock([statement(node, into), ...body], true));
      }
      if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) {
        const visited = ts.visitEachChild(node, visit, context);
        const body = factory.createParenthesizedExpression(
          factory.createComma(hitAt(node.body, into), visited.body as ts.Expression),
        );
        return factory.updateArrowFunction(
          visited,
          visited.modifiers,
          visited.typeParameters,
          visited.parameters,
          visited.type,
          visited.equalsGreaterThanToken,
          body,
        );
      }
      if (ts.isBlock(node) && (ts.isFunctionLike(node.parent) || ts.isCatchClause(node.parent))) {
        const hit = statement(node, into);
        const visited = ts.visitEachChild(node, visit, context);
        return factory.updateBlock(visited, [hit, ...visited.statements]);
      }
      if (ts.isNewExpression(node) && node.expression.getText(source) === 'Uint8Array') {
        const visited = ts.visitEachChild(node, visit, context);
        return factory.createCallExpression(factory.createIdentifier(ALLOCATED), undefined, [visited]);
      }
      return undefined;
    };

    const visit = (node: ts.Node): ts.Node => {
      if (ts.isPrivateIdentifier(node)) return factory.createIdentifier(`$${node.text.slice(1)}`);
      return (lines && counted(node, lines)) ?? ts.visitEachChild(node, visit, context);
    };
    return ts.visitEachChild(source, visit, context);
  };
}

const SHORT_CIRCUITS = new Set([
  ts.SyntaxKind.AmpersandAmpersandToken,
  ts.SyntaxKind.BarBarToken,
  ts.SyntaxKind.QuestionQuestionToken,
]);

/** A loop with another body. */
function replaceBody(factory: ts.NodeFactory, loop: ts.IterationStatement, body: ts.Statement): ts.Node {
  if (ts.isForStatement(loop))
    return factory.updateForStatement(loop, loop.initializer, loop.condition, loop.incrementor, body);
  if (ts.isForOfStatement(loop))
    return factory.updateForOfStatement(loop, loop.awaitModifier, loop.initializer, loop.expression, body);
  if (ts.isForInStatement(loop))
    return factory.updateForInStatement(loop, loop.initializer, loop.expression, body);
  if (ts.isWhileStatement(loop)) return factory.updateWhileStatement(loop, loop.expression, body);
  const doLoop = loop as ts.DoStatement;
  return factory.updateDoStatement(doLoop, body, doLoop.expression);
}
