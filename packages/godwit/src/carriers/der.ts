/** As much of DER (X.690) as certificates and lists of revocations need that node does not read for us. */

export const TAG_INTEGER = 0x02;
export const TAG_SEQUENCE = 0x30;
const TAG_UTC_TIME = 0x17;
const TAG_GENERALIZED_TIME = 0x18;

/** Goes through the elements of one level. Every method throws `TypeError` on what is no such element. */
export class Der {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.byteLength;
  }

  /** Of the next element; undefined at the end. */
  get tag(): number | undefined {
    return this.#bytes[this.#at];
  }

  get isTime(): boolean {
    return this.tag === TAG_UTC_TIME || this.tag === TAG_GENERALIZED_TIME;
  }

  /** The next element whole, with its tag and length. */
  next(): Buffer {
    const from = this.#at;
    this.#contents();
    return this.#bytes.subarray(from, this.#at);
  }

  /** The elements within the next one. */
  enter(tag: number): Der {
    if (this.tag !== tag) throw new TypeError(`an element of type ${String(this.tag)}, not ${tag}`);
    return new Der(this.#contents());
  }

  /** A positive integer in lower-case hexadecimal, without leading zeros. */
  integer(): string {
    if (this.tag !== TAG_INTEGER) throw new TypeError(`an element of type ${String(this.tag)} is no integer`);
    return this.#contents().toString('hex').replace(/^0+/, '');
  }

  /** Milliseconds since 1970. */
  time(): number {
    const isShort = this.tag === TAG_UTC_TIME;
    const text = this.#contents().toString('latin1');
    const match = /^(\d{2,4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
    if (match === null) throw new TypeError(`"${text}" is no time`);
    const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
    // Two digits are of the years 1950 to 2049 (RFC 5280, section 4.1.2.5.1).
    const fullYear = isShort ? year + (year < 50 ? 2000 : 1900) : year;
    return Date.UTC(fullYear, month - 1, day, hour, minute, second);
  }

  #contents(): Buffer {
    const first = this.#bytes[this.#at + 1];
    if (first === undefined) throw new TypeError('truncated DER');
    let length = first;
    let from = this.#at + 2;
    if (first >= 0x80) {
      const lengthBytes = first & 0x7f;
      if (lengthBytes < 1 || lengthBytes > 4 || from + lengthBytes > this.#bytes.byteLength)
        throw new TypeError('a length that is none in DER');
      length = this.#bytes.readUIntBE(from, lengthBytes);
      from += lengthBytes;
    }
    if (from + length > this.#bytes.byteLength) throw new TypeError('truncated DER');
    this.#at = from + length;
    return this.#bytes.subarray(from, this.#at);
  }
}

/** What is between the lines that begin and end a block of PEM with this label; DER itself where there is no such line. */
export function pemBlocks(given: string | Uint8Array, label: string): Buffer[] {
  const bytes = Buffer.from(given as Uint8Array);
  const text = bytes.toString('latin1');
  if (!text.includes('-----BEGIN')) return [bytes];
  const pattern = new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]+)-----END ${label}-----`, 'g');
  return [...text.matchAll(pattern)].map(([, base64]) => Buffer.from(base64 as string, 'base64'));
}
