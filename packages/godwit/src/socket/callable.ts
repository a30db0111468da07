/** net's classes may be called without `new`; classes of ECMAScript may not. This makes them. */

type Class = abstract new (...args: never) => object;

/** The same class, callable. `instanceof` and `extends` work on both alike. */
export function callable<C extends Class>(
  target: C,
): C & ((...args: ConstructorParameters<C>) => InstanceType<C>) {
  const proxy = new Proxy(target, {
    apply: (constructor, _self, args: unknown[]) =>
      Reflect.construct(constructor as unknown as new () => object, args) as object,
  });
  (target.prototype as object).constructor = proxy;
  return proxy as C & ((...args: ConstructorParameters<C>) => InstanceType<C>);
}
