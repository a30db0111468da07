/**
 * Where a table keeps what it knows under an id, in 32 bits, each of which depends on all of the id and of the `seed`. Ids are chosen
 * by peers: who does not know the seed can not choose such as fall into one place.
 */
export function hashOf(id: string | number, seed: number): number {
  let hash = seed;
  if (typeof id === 'number') hash = Math.imul(hash ^ id, 0x9e3779b1);
  else for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
