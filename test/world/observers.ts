/** Several observers of one world, each told of everything, in the order in which they came. */
import type { WorldObserver } from './world.ts';

export class Observers implements Required<WorldObserver> {
  readonly #all: WorldObserver[] = [];

  add(observer: WorldObserver): void {
    this.#all.push(observer);
  }

  frameArrives(...happening: Parameters<Required<WorldObserver>['frameArrives']>): void {
    for (const observer of this.#all) observer.frameArrives?.(...happening);
  }
  peerFrameArrives(...happening: Parameters<Required<WorldObserver>['peerFrameArrives']>): void {
    for (const observer of this.#all) observer.peerFrameArrives?.(...happening);
  }
  partsLeave(...happening: Parameters<Required<WorldObserver>['partsLeave']>): void {
    for (const observer of this.#all) observer.partsLeave?.(...happening);
  }
  peerBytesLeave(...happening: Parameters<Required<WorldObserver>['peerBytesLeave']>): void {
    for (const observer of this.#all) observer.peerBytesLeave?.(...happening);
  }
  serverEvent(...happening: Parameters<Required<WorldObserver>['serverEvent']>): void {
    for (const observer of this.#all) observer.serverEvent?.(...happening);
  }
  clientEvent(...happening: Parameters<Required<WorldObserver>['clientEvent']>): void {
    for (const observer of this.#all) observer.clientEvent?.(...happening);
  }
  serverSettled(...happening: Parameters<Required<WorldObserver>['serverSettled']>): void {
    for (const observer of this.#all) observer.serverSettled?.(...happening);
  }
  clientSettled(...happening: Parameters<Required<WorldObserver>['clientSettled']>): void {
    for (const observer of this.#all) observer.clientSettled?.(...happening);
  }
}
