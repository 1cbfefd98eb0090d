import { decide } from '../../core/decision/decide.js';
import type { Decision, Deny } from '../../core/decision/decision.js';
import type { Tables } from '../../core/decision/tables.js';
import { type CheckRequest, decodeCheckRequest } from './check-request.js';
import { encodeAllow, encodeDeny } from './check-response.js';
import { type GrpcAnswer, type GrpcFailure, INTERNAL, INVALID_ARGUMENT, type UnaryHandler } from './grpc.js';
import { styleOf } from './reply-style.js';

export interface CheckHandlerOptions {
  readonly tables: Tables;
  /** Asks for a policy the tables do not have; resolves true when it has come. */
  awaitPolicy(name: string): Promise<boolean>;
  /** Unix milliseconds. */
  now(): number;
  /** Told of each decision: the code (1000 for accepted), and how long it took from message to answer. */
  onDecision?(code: string, microseconds: number): void;
  /** Told of what should never happen: an exception in here. */
  onError?(error: unknown): void;
}

const MALFORMED: GrpcFailure = { status: INVALID_ARGUMENT, message: 'not a CheckRequest' };
const BROKEN: GrpcFailure = { status: INTERNAL, message: 'the check failed; see the log of the edge' };
/** Characters of detail in a log line: enough for a string to sign. */
const MAX_LOGGED_DETAIL = 1400;

/** Answers envoy.service.auth.v3.Authorization/Check from bytes to bytes. Knows nothing of HTTP/2. Never throws. */
export function checkHandler(options: CheckHandlerOptions): UnaryHandler {
  const { tables, now, onDecision } = options;

  const answer = (request: CheckRequest, decision: Decision, startedUs: number): Buffer => {
    const final = decision.kind === 'unknown-policy' ? contextLost(decision.name) : decision;
    onDecision?.(final.code, performance.now() * 1000 - startedUs);
    if (final.kind === 'allow') return encodeAllow(final);
    return encodeDeny(final, request.header('x-request-id') ?? '', styleOf(request), logged(final));
  };

  const waitAndDecide = async (request: CheckRequest, name: string, startedUs: number): Promise<GrpcAnswer> => {
    try {
      await options.awaitPolicy(name);
      return answer(request, decide(request, tables, now()), startedUs);
    } catch (error) {
      options.onError?.(error);
      return BROKEN;
    }
  };

  return (message) => {
    const startedUs = performance.now() * 1000;
    try {
      const request = decodeCheckRequest(message);
      if (request === undefined) return MALFORMED;
      const decision = decide(request, tables, now());
      if (decision.kind === 'unknown-policy') return waitAndDecide(request, decision.name, startedUs);
      return answer(request, decision, startedUs);
    } catch (error) {
      options.onError?.(error);
      return BROKEN;
    }
  };
}

/** A route may meet the edge before its policy does, for a moment; longer means that the edge is cut off from the controller. */
function contextLost(name: string): Deny {
  return {
    kind: 'deny',
    code: '5001',
    detail:
      name === ''
        ? 'the route sends requests to the edge without naming a policy'
        : `the edge does not have policy ${name.slice(0, 64)}; check its connection to the controller`,
  };
}

function logged(decision: Deny): string {
  if (decision.stringToSign === undefined) return decision.detail;
  return `${decision.detail}; the gateway signed: ${decision.stringToSign}`.slice(0, MAX_LOGGED_DETAIL);
}
