/** In what order those end that hold memory, when there is too little of it (protocol.md §10.11). */

export interface Holder {
  readonly heldBytes: number;
  /** The address that counts for it; '' or undefined: none does. */
  readonly place: string | undefined;
}

/** Those of one address, or one alone that has none. */
interface Group<H> {
  readonly members: H[];
  heldBytes: number;
}

/**
 * At most `count` of them, one by one: the largest of the address whose holders have most together by then. Whoever has many
 * small ones must not drive out whoever has a large one, and less in all.
 */
export function* byAddress<H extends Holder>(holders: Iterable<H>, count: number): Generator<H> {
  // With each that ends another may be the heaviest, but none beyond the first `count`.
  const heaviest = largest(groupsOf(holders), count).map(({ members, heldBytes }) => ({
    members: largest(members, count).reverse(),
    heldBytes,
  }));
  for (let ended = 0; ended < count; ended += 1) {
    const group = heaviest.reduce((most, each) => (each.heldBytes > most.heldBytes ? each : most), NONE);
    const holder = group.members.pop();
    if (holder === undefined) return;
    group.heldBytes -= holder.heldBytes;
    yield holder;
  }
}

const NONE: Group<never> = { members: [], heldBytes: 0 };

function groupsOf<H extends Holder>(holders: Iterable<H>): Iterable<Group<H>> {
  const groups: Group<H>[] = [];
  const byPlace = new Map<string, Group<H>>();
  for (const holder of holders) {
    const { place = '', heldBytes } = holder;
    let group = byPlace.get(place);
    if (group === undefined) {
      group = { members: [], heldBytes: 0 };
      groups.push(group);
      if (place !== '') byPlace.set(place, group);
    }
    group.members.push(holder);
    group.heldBytes += heldBytes;
  }
  return groups;
}

/** Those that hold most, in that order, `count` (1 or more) of them: one pass, since there may be many, and the server is busy. */
export function largest<H extends { readonly heldBytes: number }>(holders: Iterable<H>, count: number): H[] {
  const found: { readonly holder: H; readonly heldBytes: number }[] = [];
  for (const holder of holders) {
    const { heldBytes } = holder;
    const last = found[found.length - 1];
    if (found.length === count && last !== undefined && heldBytes <= last.heldBytes) continue;
    if (found.length === count) found.pop();
    let at = found.length;
    while (at > 0 && (found[at - 1] as { heldBytes: number }).heldBytes < heldBytes) at -= 1;
    found.splice(at, 0, { holder, heldBytes });
  }
  return found.map(({ holder }) => holder);
}
