export * from './members.ts';
export * from './peer-links.ts';
