/** The few carriers of one session for which something holds. Empty nearly always, so it has no table until it needs one. */
export class CarrierSet {
  #ids: number[] | undefined;

  has(carrierId: number): boolean {
    return this.#ids !== undefined && this.#ids.includes(carrierId);
  }

  add(carrierId: number): void {
    if (!this.has(carrierId)) (this.#ids ??= []).push(carrierId);
  }

  delete(carrierId: number): void {
    if (!this.has(carrierId)) return;
    const left = this.#ids?.filter((id) => id !== carrierId);
    this.#ids = left?.length === 0 ? undefined : left;
  }
}
