/** Reads the headers of frames in what is about to be sent, without decoding them. */
import { frames } from '../../packages/godwit/src/wire/frames.ts';
import { DATA_TYPE, HEADER_BYTES } from '../../packages/godwit/src/wire/index.ts';
import { peerFrames } from '../../packages/godwit/src/wire/peer-frames.ts';

const NAMES = namesOf({ ...frames, data: { type: DATA_TYPE } });
const PEER_NAMES = namesOf(peerFrames);

function namesOf(table: Readonly<Record<string, { readonly type: number }>>): (string | undefined)[] {
  const names: (string | undefined)[] = [];
  for (const [name, { type }] of Object.entries(table)) names[type] = name;
  return names;
}

/** One direction of one carrier. Headers are never cut: they leave as a part, or at the start of one. */
export class FrameWalker {
  #skip = 0;

  walk(parts: readonly Uint8Array[], seen: (name: string) => void): void {
    for (const part of parts) this.#skip = walkPart(part, this.#skip, NAMES, seen);
  }
}

export function walkPeerFrames(bytes: Uint8Array, seen: (name: string) => void): void {
  walkPart(bytes, 0, PEER_NAMES, seen);
}

/** Answers how many bytes of the last frame's payload are in parts to come. */
function walkPart(
  part: Uint8Array,
  skip: number,
  names: readonly (string | undefined)[],
  seen: (name: string) => void,
): number {
  let at = skip;
  while (at < part.byteLength) {
    const type = part[at] as number;
    seen(names[type] ?? `type ${type}`);
    at +=
      HEADER_BYTES +
      (part[at + 1] as number) * 65_536 +
      (part[at + 2] as number) * 256 +
      (part[at + 3] as number);
  }
  return at - part.byteLength;
}
