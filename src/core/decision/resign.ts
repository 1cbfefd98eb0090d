import type { CheckInput, HeaderPair } from './decision.js';
import type { HmacKey } from './hmac-key.js';
import { DEFAULT_COVER, signRequest } from './sign-request.js';

/** Without the body in hand the signature cannot cover it. */
const WITHOUT_BODY = DEFAULT_COVER.filter((name) => name !== 'digest');

/**
 * Signs a request for the backend in the SOFA dialect. The client's `authorization`, `date` and `digest` are replaced.
 * @param bodyKnown whether `input.body` is the whole body, also when it is empty.
 * @returns headers to set, or why it cannot be signed.
 */
export function resign(
  input: CheckInput,
  accessKey: string,
  key: HmacKey,
  bodyKnown: boolean,
  nowMs: number,
): readonly HeaderPair[] | string {
  const hasBody = bodyKnown || (input.body !== undefined && input.body.length > 0);
  try {
    return signRequest({
      method: input.method,
      target: input.backendTarget ?? input.target,
      headers: [],
      body: input.body,
      accessKey,
      secret: key,
      cover: hasBody ? DEFAULT_COVER : WITHOUT_BODY,
      nowMs,
    }).headers;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}
