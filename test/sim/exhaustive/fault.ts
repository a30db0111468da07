/** Faults, and the places where they strike: behind a byte, or a frame, of one direction of one link. */

/** What happens there. Each is a word in the name of a case. */
export const FAULT_KINDS = {
  /** The link breaks, and the kernel of the other end says so to both. */
  reset: 'byte',
  /** The link breaks, and nothing says that the other end is gone: a cable, an address that changed. */
  lost: 'byte',
  /** The process of server a, or b, is killed; it is back, with nothing in its memory, a moment later. */
  'kill-a': 'byte',
  'kill-b': 'byte',
  /** The same, but it stays away. */
  'end-a': 'frame',
  'end-b': 'frame',
  /** The machine of that server goes silent, and another process answers in its place a moment later. */
  'vanish-a': 'frame',
  'vanish-b': 'frame',
  /** The process is stopped, and goes on when its client has long moved on: a zombie. */
  'stop-a': 'frame',
  'stop-b': 'frame',
  /** The link swallows everything, and nobody is told. */
  silent: 'frame',
  /** The link holds back all that comes later, for longer than anybody waits; then it all comes, on a link long left. */
  late: 'frame',
  /** The link between servers a and b breaks, wherever the byte was. */
  unlink: 'frame',
  /** For longer than anybody waits, nothing gets through between a and b, or the client and a, or b; then it all comes. */
  'hold-ab': 'frame',
  'hold-a': 'frame',
  'hold-b': 'frame',
  /** The frame that came last comes again, soon and late. */
  again: 'frame',
  /** It comes from server c first: a member that heard of it, and is faster. */
  forestalled: 'frame',
  /** It comes from server c as well: a member that heard of it, and says it for its own. */
  stolen: 'frame',
} as const;

export type FaultKind = keyof typeof FAULT_KINDS;

/** Where a fault strikes: so many bytes of that direction of that link have been delivered. */
export interface Place {
  /** `c1` is the first carrier that was dialled, `ab` what server a sends to server b. */
  readonly link: string;
  /** `>` away from the client, `<` towards it; between servers, `>` as the link is named. */
  readonly direction: '>' | '<';
  /** Bytes delivered; frames, between servers. */
  readonly offset: number;
}

export interface Fault {
  readonly kind: FaultKind;
  readonly place: Place;
}

/** `kill-a@c1>120` */
export function faultName({ kind, place }: Fault): string {
  return `${kind}@${place.link}${place.direction}${place.offset}`;
}

export function parseFault(name: string): Fault {
  const match = /^([a-z-]+)@(\w+)([<>])(\d+)$/.exec(name);
  if (!match || !(String(match[1]) in FAULT_KINDS)) throw new Error(`"${name}" is no fault`);
  return {
    kind: match[1] as FaultKind,
    place: {
      link: match[2] as string,
      direction: match[3] as Place['direction'],
      offset: Number(match[4]),
    },
  };
}
