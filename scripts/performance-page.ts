/** Makes docs/performance.md and its plots anew from bench/results/latest.json and bench/limits.ts. */
import { readLatest, refresh } from '../bench/report/results.ts';

refresh(readLatest());
