/** What the chaos run needs of the machine, and how it gets it. */
import { missingAfterInstall } from '../../scripts/debian-packages.ts';
import { TestNetwork } from './network.ts';

/** Commands, and the Debian packages that bring them. */
const TOOLS = [
  { command: 'ip', packageName: 'iproute2' },
  { command: 'tc', packageName: 'iproute2' },
  { command: 'nft', packageName: 'nftables' },
  { command: 'nsenter', packageName: 'util-linux' },
] as const;

/** Why there can be no chaos on this machine; undefined when there can. Installs what is missing, and says so. */
export async function reasonToSkip(log: (line: string) => void): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'chaos needs the network namespaces of Linux';
  if (process.getuid?.() !== 0) return 'chaos makes network namespaces, and only root may do that';
  const missing = await missingAfterInstall(TOOLS, log);
  if (missing.length > 0) return `chaos needs ${missing.join(' and ')}, and could not install it`;
  return whyNoNetwork();
}

/** A container may have a root who may not, and a kernel may lack what we use: only trying it shows. */
async function whyNoNetwork(): Promise<string | undefined> {
  try {
    const network = await TestNetwork.create(['one', 'two']);
    try {
      await network.shape('one', 100);
      for (const disturbance of [
        await network.cut([['one', 'two']]),
        await network.lose(1),
        await network.reset('one', 'two', { near: true, far: true }),
      ])
        await disturbance.undo();
    } finally {
      network.remove();
    }
    return undefined;
  } catch (error) {
    return `the kernel, or a container, does not let chaos make its network: ${(error as Error).message}`;
  }
}
