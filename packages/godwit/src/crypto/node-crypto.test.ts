import assert from 'node:assert/strict';
import { createHmac, createPrivateKey, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { WireCode, fromHex, toHex } from '../wire/index.ts';
import type { CryptoRequest, MacLabel } from '../session/crypto.ts';
import type { TicketHead } from '../session/ticket.ts';
import { hkdf, hkdfExpand, hkdfExtract, hmacSha256 } from './hmac.ts';
import {
  KeyPairs,
  MAX_AGREED,
  MAX_PAIRS_KEPT,
  PAIR_KEPT_MS,
  PAIR_LIFETIME_MS,
  PAIR_USES,
  agree,
} from './key-agreement.ts';
import { KeyRing } from './key-ring.ts';
import { NodeCrypto } from './node-crypto.ts';
import { crc32, random } from './random.ts';

interface TicketVector {
  readonly fields: Omit<TicketHead, 'sessionId' | 'secret' | 'bodyHash' | 'bodyBytes' | 'state'>;
  readonly state: string;
  readonly headIv: string;
  readonly bodyIv: string;
  readonly sealedHead: string;
  readonly sealedBody: string;
}

interface Vectors {
  readonly keys: Readonly<
    Record<'clusterKey' | 'keyId' | 'sessionId' | 'ticketKey' | 'triggerKey' | 'linkKey', string>
  >;
  readonly agreement: Readonly<
    Record<
      'clientPrivate' | 'clientShare' | 'serverPrivate' | 'serverShare' | 'shared' | 'salt' | 'secret',
      string
    >
  >;
  readonly refusedShares: readonly string[];
  readonly macs: readonly {
    readonly label: MacLabel;
    readonly data: readonly string[];
    readonly mac: string;
  }[];
  readonly trigger: { readonly masked: string; readonly data: readonly string[]; readonly mac: string };
  readonly tickets: readonly TicketVector[];
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../../test/vectors/crypto.json', import.meta.url), 'utf8'),
) as Vectors;

const sessionId = fromHex(vectors.keys.sessionId);
const secret = fromHex(vectors.agreement.secret);
const PKCS8 = fromHex('302e020100300506032b656e04220420');

const privateKeyOf = (hex: string) =>
  createPrivateKey({ key: Buffer.concat([PKCS8, fromHex(hex)]), format: 'der', type: 'pkcs8' });

function createServerCrypto(
  options: { wallClock?: () => number; ivs?: string[]; ring?: KeyRing } = {},
): NodeCrypto {
  const ivs = options.ivs?.map(fromHex);
  return new NodeCrypto({
    ring: options.ring ?? new KeyRing(fromHex(vectors.keys.clusterKey)),
    wallClock: options.wallClock ?? (() => 0),
    random: ivs && (() => ivs.shift() as Uint8Array),
  });
}

function headOf(vector: TicketVector): TicketHead {
  const state = new Uint8Array(0);
  return { ...vector.fields, sessionId, secret, bodyHash: new Uint8Array(32), bodyBytes: 0, state };
}

describe('the vectors that any implementation must meet', () => {
  test('key agreement gives the shared value, and HKDF the session secret', () => {
    const { clientPrivate, clientShare, serverPrivate, serverShare, shared, salt } = vectors.agreement;
    for (const [own, peer] of [
      [clientPrivate, serverShare],
      [serverPrivate, clientShare],
    ] as const) {
      const result = agree(privateKeyOf(own), fromHex(peer));
      assert.ok(result);
      assert.equal(toHex(result), shared);
      const info = Buffer.concat([Buffer.from('godwit/1 session'), sessionId]);
      assert.equal(toHex(hkdf(result, fromHex(salt), info)), vectors.agreement.secret);
    }
  });

  test('shares of low order or of the wrong length are refused', () => {
    for (const share of vectors.refusedShares) {
      assert.equal(agree(privateKeyOf(vectors.agreement.clientPrivate), fromHex(share)), undefined, share);
    }
  });

  test('keys derived from the cluster key', () => {
    const { newest } = new KeyRing(vectors.keys.clusterKey);
    assert.equal(newest.idText, vectors.keys.keyId);
    assert.equal(toHex(newest.derive(sessionId, Buffer.from('godwit/1 ticket'))), vectors.keys.ticketKey);
    assert.equal(toHex(newest.derive(sessionId, Buffer.from('godwit/1 trigger'))), vectors.keys.triggerKey);
    assert.equal(toHex(newest.linkKey()), vectors.keys.linkKey);
  });

  test('MACs of every label', () => {
    const crypto = new NodeCrypto();
    for (const vector of vectors.macs) {
      const data = vector.data.map(fromHex);
      const { mac } = crypto.execute({ op: 'mac', secret, label: vector.label, data });
      assert.equal(toHex(mac), vector.mac, vector.label);
      assert.deepEqual(crypto.execute({ op: 'verify', secret, label: vector.label, data, mac }), {
        ok: true,
      });
    }
    assert.equal(new Set(vectors.macs.map(({ mac }) => mac)).size, vectors.macs.length);
  });

  test('the trigger key, masked and unmasked, and a MAC under it', () => {
    const crypto = createServerCrypto();
    const { keyId, masked, otherKeyId } = crypto.execute({ op: 'maskTriggerKey', sessionId, secret });
    assert.equal(toHex(keyId), vectors.keys.keyId);
    assert.equal(toHex(otherKeyId), '');
    assert.equal(toHex(masked), vectors.trigger.masked);
    const { key } = new NodeCrypto().execute({ op: 'unmaskTriggerKey', secret, keyId, masked });
    assert.equal(toHex(key), vectors.keys.triggerKey);
    const data = vectors.trigger.data.map(fromHex);
    const { mac } = crypto.execute({ op: 'triggerMac', sessionId, data });
    assert.equal(toHex(mac), vectors.trigger.mac);
    assert.ok(new NodeCrypto().execute({ op: 'verify', secret: key, label: 'trigger', data, mac }).ok);
  });

  for (const vector of vectors.tickets) {
    test(`a ticket with a state of ${vector.state.length / 2} bytes`, () => {
      const ivs = vector.sealedBody === '' ? [vector.headIv] : [vector.bodyIv, vector.headIv];
      const crypto = createServerCrypto({ ivs });
      const sealed = crypto.execute({ op: 'seal', head: headOf(vector), body: fromHex(vector.state) });
      assert.equal(toHex(sealed.head), vector.sealedHead);
      assert.equal(toHex(sealed.body), vector.sealedBody);
      const opened = crypto.execute({ op: 'open', head: sealed.head });
      assert.ok('head' in opened);
      const { bodyHash: _bodyHash, bodyBytes, state, ...fields } = opened.head;
      assert.equal(toHex(state), vector.sealedBody === '' ? vector.state : '');
      assert.deepEqual(fields, { ...vector.fields, sessionId, secret });
      assert.equal(bodyBytes, sealed.body.byteLength);
      const { body } = crypto.execute({ op: 'openBody', head: opened.head, body: sealed.body });
      assert.equal(toHex(body as Uint8Array), vector.state);
    });
  }
});

describe('tickets', () => {
  const vector = vectors.tickets[2] as TicketVector;
  const sealedHead = fromHex(vector.sealedHead);
  const sealedBody = fromHex(vector.sealedBody);
  const open = (crypto: NodeCrypto, head: Uint8Array) => crypto.execute({ op: 'open', head });
  const openHead = (crypto: NodeCrypto): TicketHead => {
    const opened = open(crypto, sealedHead);
    assert.ok('head' in opened);
    return opened.head;
  };

  test('never open with a bit flipped anywhere', () => {
    const crypto = createServerCrypto();
    fc.assert(
      fc.property(fc.nat(sealedHead.byteLength * 8 - 1), (bit) => {
        const flipped = Uint8Array.from(sealedHead);
        flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
        assert.ok('refused' in open(crypto, flipped));
      }),
      { numRuns: 500 },
    );
  });

  test('never open cut short, or with bytes behind them', () => {
    const crypto = createServerCrypto();
    for (let length = 0; length < sealedHead.byteLength; length += 1) {
      assert.deepEqual(open(crypto, sealedHead.subarray(0, length)), { refused: WireCode.TicketInvalid });
    }
    for (const extra of [1, 16, 400]) {
      const longer = Buffer.concat([sealedHead, Buffer.alloc(extra)]);
      assert.deepEqual(open(crypto, longer), { refused: WireCode.TicketInvalid });
    }
  });

  test('of another version are invalid, under another key unknown', () => {
    const crypto = createServerCrypto();
    const other = Uint8Array.from(sealedHead);
    other[0] = 2;
    assert.deepEqual(open(crypto, other), { refused: WireCode.TicketInvalid });
    const stranger = createServerCrypto({ ring: KeyRing.generate() });
    assert.deepEqual(open(stranger, sealedHead), { refused: WireCode.UnknownKey });
  });

  test('expire at their time, and not before', () => {
    const { expiresAt } = vector.fields;
    const refused = open(createServerCrypto({ wallClock: () => expiresAt }), sealedHead);
    assert.deepEqual(refused, { refused: WireCode.TicketExpired });
    assert.ok('head' in open(createServerCrypto({ wallClock: () => expiresAt - 1 }), sealedHead));
  });

  test('open after a rotation, until their key retires', () => {
    const ring = new KeyRing(vectors.keys.clusterKey);
    const crypto = createServerCrypto({ ring });
    const oldId = ring.newest.idText;
    const newId = ring.rotate(KeyRing.generateKey());
    const head = openHead(crypto);
    assert.ok(crypto.execute({ op: 'openBody', head, body: sealedBody }).body);
    const again = crypto.execute({ op: 'seal', head, body: fromHex(vector.state) });
    assert.equal(toHex(again.head.subarray(1, 9)), newId);
    ring.retire(oldId);
    assert.deepEqual(open(crypto, sealedHead), { refused: WireCode.UnknownKey });
    assert.equal(crypto.execute({ op: 'openBody', head, body: sealedBody }).body, undefined);
    assert.ok('head' in open(crypto, again.head));
  });

  test('open no body but their own, whole and unchanged', () => {
    const crypto = createServerCrypto();
    const head = openHead(crypto);
    const openBody = (body: Uint8Array, of = head) => crypto.execute({ op: 'openBody', head: of, body }).body;
    assert.ok(openBody(sealedBody));
    assert.equal(openBody(sealedBody.subarray(1)), undefined);
    assert.equal(openBody(new Uint8Array(0)), undefined);
    for (let bit = 0; bit < sealedBody.byteLength * 8; bit += 1) {
      const flipped = Uint8Array.from(sealedBody);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.equal(openBody(flipped), undefined, `bit ${bit}`);
    }
    // Even a head that names this very body does not open it for another point or session.
    assert.equal(openBody(sealedBody, { ...head, k: head.k + 1 }), undefined);
    assert.equal(openBody(sealedBody, { ...head, epoch: head.epoch + 1 }), undefined);
    assert.equal(openBody(sealedBody, { ...head, sessionId: random(16) }), undefined);
  });

  test('are never sealed alike twice', () => {
    const crypto = createServerCrypto();
    const request = { op: 'seal', head: headOf(vector), body: fromHex(vector.state) } as const;
    const [one, two] = [crypto.execute(request), crypto.execute(request)];
    assert.notDeepEqual(one.head, two.head);
    assert.notDeepEqual(one.body, two.body);
  });

  test('carry any state there and back', () => {
    const crypto = createServerCrypto();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5_000 }), (body) => {
        const sealed = crypto.execute({ op: 'seal', head: headOf(vector), body });
        const opened = open(crypto, sealed.head);
        assert.ok('head' in opened);
        assert.deepEqual(crypto.execute({ op: 'openBody', head: opened.head, body: sealed.body }).body, body);
      }),
      { numRuns: 50 },
    );
  });
});

describe('MACs', () => {
  const request: CryptoRequest<'mac'> = {
    op: 'mac',
    secret,
    label: 'migrate',
    data: [Buffer.from('fields')],
  };
  const { mac } = new NodeCrypto().execute(request);
  const verify = (changes: Partial<CryptoRequest<'verify'>>) =>
    new NodeCrypto().execute({ ...request, mac, ...changes, op: 'verify' }).ok;

  test('fail under another label, secret, content or length', () => {
    assert.ok(verify({}));
    assert.ok(!verify({ label: 'accept' }));
    assert.ok(!verify({ secret: random(32) }));
    assert.ok(!verify({ data: [Buffer.from('field')] }));
    assert.ok(!verify({ mac: mac.subarray(0, 15) }));
    assert.ok(!verify({ mac: Buffer.concat([mac, Buffer.alloc(1)]) }));
    assert.ok(!verify({ mac: new Uint8Array(0) }));
  });

  test('and keys of HKDF are those of node', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array({ maxLength: 100 }), fc.uint8Array(), (key, salt, info) => {
        const expected = hkdfSync('sha256', key, salt, info, 96);
        assert.deepEqual(Buffer.concat(hkdfExpand(hkdfExtract(salt, key), info, 3)), Buffer.from(expected));
      }),
    );
  });

  test('are those of node for data of any length, in any pieces', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        fc.array(fc.uint8Array({ maxLength: 3_000 })),
        (key, parts) => {
          const expected = createHmac('sha256', key);
          for (const part of parts) expected.update(part);
          assert.deepEqual(hmacSha256(key, parts), expected.digest());
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('key agreement', () => {
  test('gives both sides one secret, bound to the session and to the salt', () => {
    const [client, server] = [new NodeCrypto(), createServerCrypto()];
    const [clientShare, serverShare] = [client.keyShare(), server.keyShare()];
    const salt = random(32);
    const ofClient = { op: 'agree', ourShare: clientShare, peerShare: serverShare, salt, sessionId } as const;
    const ofServer = { op: 'agree', ourShare: serverShare, peerShare: clientShare, salt, sessionId } as const;
    const { secret: one } = client.execute(ofClient);
    assert.ok(one);
    assert.deepEqual(server.execute(ofServer).secret, one);
    assert.notDeepEqual(server.execute({ ...ofServer, salt: random(32) }).secret, one);
    assert.notDeepEqual(server.execute({ ...ofServer, sessionId: random(16) }).secret, one);
  });

  test('has no answer for a share that is not ours', () => {
    const crypto = new NodeCrypto();
    const peerShare = new NodeCrypto().keyShare();
    const request = { op: 'agree', ourShare: random(32), peerShare, salt: random(32), sessionId } as const;
    assert.equal(crypto.execute(request).secret, undefined);
  });

  test('uses a pair for a minute or 4096 OPENs, and keeps it for answers under way', async () => {
    let now = 0;
    const pairs = new KeyPairs(() => now);
    const peer = new KeyPairs(() => 0).share();
    const first = toHex(pairs.share());
    for (let use = 1; use < PAIR_USES; use += 1) assert.equal(toHex(pairs.share()), first);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const second = toHex(pairs.share());
    assert.notEqual(second, first);
    now += PAIR_LIFETIME_MS - 1;
    assert.equal(toHex(pairs.share()), second);
    now += 1;
    assert.notEqual(toHex(pairs.share()), second);
    assert.ok(pairs.agree(fromHex(first), peer));
    now += PAIR_KEPT_MS;
    pairs.share();
    assert.equal(pairs.agree(fromHex(first), peer), undefined);
    assert.equal(pairs.agree(fromHex(second), peer), undefined);
  });

  test('agrees once with a peer that opens many sessions, and still refuses what is malformed or of low order', () => {
    const pairs = new KeyPairs(() => 0);
    const others = Array.from({ length: MAX_AGREED + 1 }, () => new KeyPairs(() => 0));
    const share = pairs.share();
    const shared = others.map((other) => {
      const peer = other.share();
      const ours = pairs.agree(share, peer);
      assert.ok(ours);
      assert.deepEqual(other.agree(peer, share), ours);
      return ours;
    });
    // The very same buffer: nothing was computed. But the first one was forgotten for the last.
    const [first, last] = [others[0], others.at(-1)].map((other) =>
      pairs.agree(share, other?.share() ?? share),
    );
    assert.equal(last, shared.at(-1));
    assert.notEqual(first, shared[0]);
    assert.deepEqual(first, shared[0]);
    for (const bad of [new Uint8Array(32), new Uint8Array(31)])
      for (let time = 0; time < 2; time += 1) assert.equal(pairs.agree(share, bad), undefined);
  });

  test('keeps a bounded number of pairs', () => {
    const pairs = new KeyPairs(() => 0);
    const peer = new KeyPairs(() => 0).share();
    const shares: Uint8Array[] = [];
    for (let pair = 0; pair < MAX_PAIRS_KEPT + 2; pair += 1) {
      shares.push(pairs.share());
      for (let use = 1; use < PAIR_USES; use += 1) pairs.share();
    }
    assert.equal(shares.filter((share) => pairs.agree(share, peer)).length, MAX_PAIRS_KEPT);
    assert.ok(pairs.agree(shares.at(-1) as Uint8Array, peer));
  });
});

describe('random bytes and checksums', () => {
  test('random bytes differ, whatever their number', () => {
    const seen = new Set<string>();
    for (let draw = 0; draw < 2_000; draw += 1) seen.add(toHex(random(16)));
    assert.equal(seen.size, 2_000);
    for (const bytes of [0, 1, 12, 1024, 1025, 70_000]) assert.equal(random(bytes).byteLength, bytes);
  });

  test('a CRC goes on where the last one stopped', () => {
    const check = Buffer.from('123456789');
    assert.equal(crc32(check, 0), 0xcbf43926);
    assert.equal(crc32(check.subarray(4), crc32(check.subarray(0, 4), 0)), 0xcbf43926);
  });
});
