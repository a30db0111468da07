/** Agrees on secrets of his own with both ends of a session that is opened over plain TCP (protocol.md §8.2, §16). */
import { NodeCrypto } from '../../packages/godwit/src/crypto/index.ts';
import {
  DATA_TYPE,
  FrameDecoder,
  NO_MAC,
  PREFACE_BYTES,
  concatBytes,
  decodePayload,
  encodeHeader,
  encodePayload,
  framePayload,
  macedPart,
  withMac,
  type Frame,
} from '../../packages/godwit/src/wire/index.ts';
import type { Tampering } from './relay.ts';

const HEADER_BYTES = 4;
const OPEN_TYPE = 0x02;

export class ManInTheMiddle {
  /** Shared with the client, and with the server: whoever has both is either of them to the other. */
  readonly secrets: { client?: Uint8Array; server?: Uint8Array } = {};
  readonly #crypto = new NodeCrypto();
  readonly #share = this.#crypto.keyShare();
  readonly #decoder = FrameDecoder.forCarrier('server');
  #open: Frame<'open'> | undefined;
  /** What the client said in OPEN, byte for byte. */
  #openPayload: Uint8Array = new Uint8Array(0);

  constructor() {
    this.#decoder.setAuthenticated();
  }

  readonly tampering: Tampering = {
    toServer: (chunk) => this.#toServer(chunk),
    toClient: (chunk) => this.#toClient(chunk),
  };

  /** His own key share in OPEN. */
  #toServer(chunk: Buffer): Buffer {
    const at = chunk[0] === 0x67 ? PREFACE_BYTES : 0;
    if (this.#open || chunk[at] !== OPEN_TYPE) return chunk;
    const end = at + HEADER_BYTES + chunk.readUIntBE(at + 1, 3);
    this.#openPayload = chunk.subarray(at + HEADER_BYTES, end);
    const open = decodePayload('open', this.#openPayload);
    this.#open = open;
    const changed = framePayload('open', encodePayload('open', { ...open, keyShare: this.#share }));
    return Buffer.concat([chunk.subarray(0, at), changed, chunk.subarray(end)]);
  }

  /** His own key share in SUPPORT, and a MAC that is right for the client. */
  #toClient(chunk: Buffer): Buffer {
    const { secrets } = this;
    if (!this.#open || secrets.client) return chunk;
    this.#decoder.push(chunk);
    const parts: Uint8Array[] = [];
    for (let frame = this.#decoder.next(); frame; frame = this.#decoder.next()) {
      if (frame.frame === 'data')
        parts.push(encodeHeader(DATA_TYPE, frame.bytes.byteLength), frame.bytes.slice());
      else if (frame.frame === 'support') parts.push(this.#supportFor(this.#open, frame));
      else parts.push(framePayload(frame.frame, frame.payload));
    }
    return Buffer.from(concatBytes(parts));
  }

  #supportFor(open: Frame<'open'>, support: Frame<'support'>): Uint8Array {
    const agree = (peerShare: Uint8Array): Uint8Array => {
      const salt = concatBytes([open.nonce, support.nonce]);
      const { sessionId } = open;
      const { secret } = this.#crypto.execute({
        op: 'agree',
        ourShare: this.#share,
        peerShare,
        salt,
        sessionId,
      });
      if (!secret) throw new Error('no secret');
      return secret;
    };
    const secret = agree(open.keyShare);
    this.secrets.client = secret;
    this.secrets.server = agree(support.keyShare);
    const payload = encodePayload('support', { ...support, keyShare: this.#share, mac: NO_MAC });
    const data = [this.#openPayload, macedPart(payload)];
    const { mac } = this.#crypto.execute({ op: 'mac', secret, label: 'support', data });
    return framePayload('support', withMac(payload, mac));
  }
}
