export * from './bytes.ts';
export * from './codes.ts';
export * from './decoder.ts';
export {
  ATTACH_ID_BYTES,
  DATA_TYPE,
  KEY_SHARE_BYTES,
  MAC_BYTES,
  NONCE_BYTES,
  SESSION_ID_BYTES,
  serverFields,
  type Direction,
  type FrameDefinition,
  type ServerAddress,
} from './definition.ts';
export * from './encode.ts';
export * from './frames.ts';
export * from './limits.ts';
export * from './numbers.ts';
export * from './peer-frames.ts';
export * from './preface.ts';
export * from './records.ts';
export { decodeStruct, encodeStruct, type FieldValue, type StructValue } from './schema.ts';
export * as schema from './schema.ts';
export * from './values.ts';
export { withoutStack } from './without-stack.ts';
