/** A program that says why, and dies. */
import { fail, runProgram } from '../../../bench/harness/program.ts';

await runProgram(({ when }: { readonly when: 'begin' | 'call' }) => {
  if (when === 'begin') fail('planted: it never began');
  return {
    calls: {
      die: () => fail('planted: it died when it was called'),
      throwAtUs: () => {
        throw new Error('planted: it threw');
      },
    },
  };
});
