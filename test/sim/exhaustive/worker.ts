/** A thread that runs jobs of an exhaustive run. */
import { parentPort } from 'node:worker_threads';
import { runJob, type Job } from './job.ts';

parentPort?.on('message', (job: Job) => parentPort?.postMessage(runJob(job)));
