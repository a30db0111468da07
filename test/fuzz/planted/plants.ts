/** Deliberate faults in the sources, one at least for each property: a fuzzer that misses one of them looks at nothing. */
import type { Plant } from '../instrument/load.ts';
import type { Property } from '../engine/target.ts';

export interface PlantedFault extends Plant {
  /** The target that must find it, and the property that must fail. */
  readonly target: string;
  readonly property: Property;
}

const SESSION = 'packages/godwit/src/session/';
const WIRE = 'packages/godwit/src/wire/';
const CRYPTO = 'packages/godwit/src/crypto/';

export const PLANTS: readonly PlantedFault[] = [
  {
    name: 'text that is not UTF-8 is our own error',
    file: `${WIRE}bytes.ts`,
    find: `throw new ProtocolError(WireCode.Protocol, 'a text field is not UTF-8');`,
    replace: `throw new RangeError('not UTF-8');`,
    target: 'decoder',
    property: 'no crash',
  },
  {
    name: 'lengths are not checked before anything is allocated',
    file: `${WIRE}decoder.ts`,
    find: `if (length > limit) throw overLimit(known.label, length, limit);`,
    replace: `void limit;`,
    target: 'decoder',
    property: 'bounded memory',
  },
  {
    name: 'the first part of a payload in pieces is forgotten',
    file: `${WIRE}decoder.ts`,
    find: `this.#payload = payload;\n        return undefined;`,
    replace: `return undefined;`,
    target: 'decoder',
    property: 'faithful',
  },
  {
    name: 'a decoder waits for bytes by looking for them',
    file: `${WIRE}decoder.ts`,
    find: `if (count === 0) return undefined;\n        const at`,
    replace: `if (count === 0) continue;\n        const at`,
    target: 'decoder',
    property: 'no hang',
  },
  {
    name: 'tickets never expire',
    file: `${CRYPTO}ticket-sealing.ts`,
    find: `head.expiresAt <= this.#wallClock()`,
    replace: `head.expiresAt < 0`,
    target: 'tickets',
    property: 'authentic',
  },
  {
    name: 'the epoch of a MIGRATE counts before its proof',
    file: `${SESSION}destination.ts`,
    find: `const session = this.#host.findSession(attach.id);\n    if (session)`,
    replace: `const session = this.#host.findSession(attach.id);\n    session?.noteEpoch(migrate.epoch);\n    if (session)`,
    target: 'strangers',
    property: 'strangers change nothing',
  },
  {
    name: 'an attach that was answered is kept',
    file: `${SESSION}destination.ts`,
    find: `this.#byCarrier.delete(attach.carrierId);`,
    replace: ``,
    target: 'insiders',
    property: 'bounded memory',
  },
  {
    name: 'the head of a ticket may be of any length',
    file: `${SESSION}ticket-holder.ts`,
    find: `if (piece.headBytes > this.#maxHeadBytes) {`,
    replace: `if (piece.headBytes > 65_535) {`,
    target: 'impostors',
    property: 'no crash',
  },
  {
    name: 'the ticket of a server that proved nothing is kept',
    file: `${SESSION}client-opening.ts`,
    find: `this.#core.streams.tickets.clear();`,
    replace: ``,
    target: 'doubtful',
    property: 'others unharmed',
  },
  {
    name: 'a byte that came before is taken again',
    file: `${SESSION}receive-buffer.ts`,
    find: `const duplicate = Math.min(this.#received - this.#position, bytes.byteLength);`,
    replace: `const duplicate = Math.min(Math.max(0, this.#received - this.#position - 1), bytes.byteLength);`,
    target: 'sessionReplay',
    property: 'others unharmed',
  },
  {
    name: 'the heap of deadlines looks at one branch only',
    file: `${SESSION}time-heap.ts`,
    find: `child < size && child < first + 4;`,
    replace: `child < size && child < first + 1;`,
    target: 'deadlines',
    property: 'as its model',
  },
];
