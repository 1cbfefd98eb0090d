import { Metadata, type status } from '@grpc/grpc-js';

/** With what a call ends that is refused. */
export interface Refusal {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

/**
 * A refusal whose text is readable in the log of an Envoy, which shows it as it comes: only what must be is percent-encoded (gRPC over
 * HTTP/2, "Status-Message"), while grpc-js by itself encodes spaces and quotes too.
 */
export function refusal(code: status, details: string): Refusal {
  const metadata = new Metadata();
  metadata.set('grpc-message', details.toWellFormed().replace(/[^\x20-\x24\x26-\x7e]+/g, encodeURIComponent));
  return { code, details, metadata };
}
