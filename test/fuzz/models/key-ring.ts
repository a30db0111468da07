/** KeyRing next to a list of keys: what is sealed opens exactly as long as its key is in the ring. */
import fc from 'fast-check';
import { ClusterKey, KeyRing, MAX_KEYS } from '../../../packages/godwit/src/crypto/key-ring.ts';
import { TicketSealing } from '../../../packages/godwit/src/crypto/ticket-sealing.ts';
import { hold } from '../engine/target.ts';
import { command, modelTarget } from './model.ts';

interface Keys {
  /** Newest first; each key is a number here. */
  list: number[];
  readonly sealed: { readonly head: Uint8Array; readonly body: Uint8Array; readonly key: number }[];
  changes: number;
}

interface Real {
  readonly ring: KeyRing;
  readonly sealing: TicketSealing;
  readonly heard: { changes: number };
}

const STATE = Uint8Array.of(1, 2, 3);

function keyOf(number: number): Uint8Array {
  return new Uint8Array(32).fill(number + 1);
}

function throws(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (error instanceof RangeError) return;
    throw error;
  }
  hold('as its model', false, () => 'a RangeError did not come');
}

const key = fc.nat(MAX_KEYS + 2);

export const keyRing = modelTarget<Keys, Real>({
  name: 'keyRing',
  summary: 'KeyRing next to a list of keys; tickets open as long as their key is in it',
  maxCommands: 40,
  setup: () => {
    const ring = new KeyRing(keyOf(0));
    const heard = { changes: 0 };
    ring.subscribe(() => (heard.changes += 1));
    return {
      model: { list: [0], sealed: [], changes: 0 },
      real: { ring, sealing: new TicketSealing({ ring, wallClock: () => 1 }), heard },
    };
  },
  commands: [
    key.map((number) =>
      command(`accept ${number}`, (model, { ring }) => {
        if (!model.list.includes(number) && model.list.length >= MAX_KEYS) {
          throws(() => ring.accept(keyOf(number)));
          return;
        }
        ring.accept(keyOf(number));
        if (model.list.includes(number)) return;
        model.list.push(number);
        model.changes += 1;
      }),
    ),
    key.map((number) =>
      command(`rotate ${number}`, (model, { ring }) => {
        const others = model.list.filter((known) => known !== number);
        if (others.length >= MAX_KEYS) {
          throws(() => ring.rotate(keyOf(number)));
          return;
        }
        ring.rotate(keyOf(number));
        model.list = [number, ...others];
        model.changes += 1;
      }),
    ),
    key.map((number) =>
      command(`retire ${number}`, (model, { ring }) => {
        const { idText } = new ClusterKey(keyOf(number));
        if (model.list[0] === number) {
          throws(() => ring.retire(idText));
          return;
        }
        const isKnown = model.list.includes(number);
        hold('as its model', ring.retire(idText) === isKnown, () => `retire ${number}`);
        model.list = model.list.filter((known) => known !== number);
        if (isKnown) model.changes += 1;
      }),
    ),
    fc.constant(
      command(
        'seal',
        (model, { sealing }) => {
          const { head, body } = sealing.seal({ ...HEAD, k: model.sealed.length }, STATE);
          model.sealed.push({ head, body, key: model.list[0] as number });
        },
        (model) => model.sealed.length < 6,
      ),
    ),
  ],
  invariant: (model, { ring, sealing, heard }) => {
    const is = ring.keys.map(({ idText }) => idText).join();
    const shouldBe = model.list.map((number) => new ClusterKey(keyOf(number)).idText).join();
    hold('as its model', is === shouldBe, () => `the ring has ${is}, not ${shouldBe}`);
    hold(
      'as its model',
      heard.changes === model.changes,
      () => `${heard.changes} of ${model.changes} changes are told`,
    );
    for (const { head, body, key: number } of model.sealed) {
      const result = sealing.open(head);
      const opens = 'head' in result;
      hold(
        'as its model',
        opens === model.list.includes(number),
        () => `a ticket under key ${number} opens: ${opens}`,
      );
      if (opens)
        hold(
          'as its model',
          sealing.openBody(result.head, body)?.byteLength === STATE.byteLength,
          () => 'its body does not',
        );
    }
  },
});

const HEAD = {
  sessionId: new Uint8Array(16).fill(7),
  secret: new Uint8Array(32).fill(8),
  epoch: 1,
  k: 0,
  input: 0,
  output: 0,
  inputFinished: false,
  outputFinished: false,
  terminal: false,
  delivery: 0,
  schema: 1,
  service: 'test',
  server: 'a',
  host: 'a',
  port: 1,
  bodyHash: new Uint8Array(32),
  bodyBytes: 0,
  expiresAt: 1000,
  state: new Uint8Array(0),
};
