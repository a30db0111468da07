/** Profiles of the processes that are measured, and what is at the top of them. */
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Functions shown of each process. */
const TOP = 20;

interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface HeapProfile {
  readonly head: HeapNode;
}

interface HeapNode {
  readonly callFrame: CallFrame;
  readonly selfSize: number;
  readonly children: readonly HeapNode[];
}

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

export class Profiles {
  readonly #folder: string;
  readonly #kind: 'cpu' | 'heap';
  #files = 0;

  /** Empties the folder. */
  constructor(folder: string, kind: 'cpu' | 'heap') {
    this.#folder = folder;
    this.#kind = kind;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }

  /** Options for node; the file is named after the process. */
  nodeOptions(title: string): readonly string[] {
    this.#files += 1;
    const name = `${String(this.#files).padStart(2, '0')}-${title.replace(/[^a-zA-Z0-9]+/g, '-')}`;
    return [
      `--${this.#kind}-prof`,
      `--${this.#kind}-prof-dir=${this.#folder}`,
      `--${this.#kind}-prof-name=${name}.${this.#kind}profile`,
    ];
  }

  /** A table for each process, in the order in which they began. */
  summary(): string {
    const files = readdirSync(this.#folder).sort();
    return files
      .map((file) => {
        const profile: unknown = JSON.parse(readFileSync(join(this.#folder, file), 'utf8'));
        const self =
          this.#kind === 'cpu' ? selfTimes(profile as CpuProfile) : selfSizes(profile as HeapProfile);
        return `${join(this.#folder, file)}\n${topOf(self, this.#kind === 'cpu' ? 'ms' : 'KiB')}`;
      })
      .join('\n\n');
  }
}

/** Milliseconds spent in each function itself. */
function selfTimes({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const times = new Map<string, number>();
  samples.forEach((id, index) => {
    const name = names.get(id) ?? '?';
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[index] ?? 0) / 1000);
  });
  return times;
}

/** KiB that each function itself allocated and that were alive at the end. */
function selfSizes({ head }: HeapProfile): Map<string, number> {
  const sizes = new Map<string, number>();
  const visit = ({ callFrame, selfSize, children }: HeapNode): void => {
    const name = nameOf(callFrame);
    sizes.set(name, (sizes.get(name) ?? 0) + selfSize / 1024);
    children.forEach(visit);
  };
  visit(head);
  return sizes;
}

function nameOf({ functionName, url, lineNumber }: CallFrame): string {
  const place = url === '' ? '' : ` ${url.split('/').slice(-2).join('/')}:${lineNumber + 1}`;
  return `${functionName || '(anonymous)'}${place}`;
}

function topOf(values: ReadonlyMap<string, number>, unit: string): string {
  const total = [...values.values()].reduce((sum, value) => sum + value, 0);
  return [...values]
    .sort(([, a], [, b]) => b - a)
    .slice(0, TOP)
    .map(([name, value]) => {
      const share = ((100 * value) / total).toFixed(1).padStart(5);
      return `${value.toFixed(1).padStart(10)} ${unit} ${share} %  ${name}`;
    })
    .join('\n');
}
