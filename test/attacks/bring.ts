/** Brings a session to a server, as its client would. */
import { gained, type Outcome } from './attack.ts';
import { RawClient, type SessionKnowledge } from './raw-client.ts';
import type { Scene, SceneServer } from './scene.ts';

/** How it was refused, or that it was accepted: the server goes on from what the ticket says. */
export async function bring(
  scene: Scene,
  to: SceneServer,
  knowledge: Pick<SessionKnowledge, 'secret' | 'ticket'>,
  change: Parameters<RawClient['migrateFrame']>[1] = {},
): Promise<Outcome> {
  const carrier = await RawClient.connect(scene, to);
  carrier.bytes(carrier.migrateFrame(knowledge, { origin: 'a', ...change }));
  return (await carrier.refusal(() => carrier.find('accept') !== undefined)) ?? gained('the session');
}
