import { TIP_REPAIRS } from './repairs.js';
import rows from './result-codes.json' with { type: 'json' };

/** What a result code means. Codes, statuses and memos are a contract with callers and never change. */
export interface ResultCode {
  /** Four decimal digits; the key. */
  readonly code: string;
  /** Status the client gets with this code. For 1800 it is 100, which can only be logged: it is no final status. */
  readonly httpStatus: number;
  /** Short name. Not unique: 4202, 6000 to 6006 and 6666 share one, so never use it as a key. */
  readonly memo: string;
  /** What happened and what to do, repaired where the published text is wrong. */
  readonly tipsZh: string;
  readonly tipsEn: string;
  /** The published tip, where `tipsZh` repairs it. */
  readonly sourceTipsZh?: string;
  /** For our own block 9xxx: why the contract has no code for it. */
  readonly why?: string;
}

/** Our own block: causes for which the contract has no code. Each entry says why it must exist. */
const OWN: readonly ResultCode[] = [
  {
    code: '9413',
    httpStatus: 413,
    memo: 'RequestTooLarge',
    tipsZh: '请求体超过网关限制，请减小请求体或调整 API 的请求体上限。',
    tipsEn: 'The request body is larger than the gateway accepts; send less or raise the body limit of the API.',
    why: 'The contract has 6214 for a 413 of the backend only; here the gateway itself refused the body.',
  },
  {
    code: '9499',
    httpStatus: 499,
    memo: 'ClientGone',
    tipsZh: '客户端在收到完整响应之前断开了连接，请检查客户端的超时设置。',
    tipsEn: 'The client went away before it had the whole response; check the timeout of the client.',
    why: 'The contract has no code for it. It is only logged: nobody is left to answer. It counts as no success, but is told apart from faults.',
  },
  {
    code: '9503',
    httpStatus: 503,
    memo: 'UpstreamOverflow',
    tipsZh: '后端并发或连接数达到熔断上限，请求未发往后端，请稍后重试或调整系统集群的熔断设置。',
    tipsEn:
      'The circuit breaker of the system cluster is open, so the backend was not called; retry later or raise its limits.',
    why: 'The contract has 5012 for SOFARPC only; for HTTP and Dubbo it has no code for an open circuit breaker.',
  },
  {
    code: '9504',
    httpStatus: 503,
    memo: 'GatewayOverloaded',
    tipsZh: '网关过载，请求被丢弃，请稍后重试或扩容网关。',
    tipsEn: 'The gateway is overloaded and shed this request; retry later or add gateway nodes.',
    why: 'The contract has no code for load the gateway sheds to protect itself.',
  },
];

/** Every code by its four digits: the 140 of the contract, then our own block. */
export const CODES: ReadonlyMap<string, ResultCode> = new Map(
  [...rows.map(repaired), ...OWN].map((row) => [row.code, Object.freeze(row)]),
);

/** The meaning of `code`, or undefined when the catalogue does not have it. */
export function codeOf(code: string): ResultCode | undefined {
  return CODES.get(code);
}

/** Backend statuses that have a code of their own: exactly the rows whose memo begins with `Biz`, and 200. */
const BY_STATUS: ReadonlyMap<number, string> = new Map([
  [200, '1000'],
  ...rows.filter((row) => row.memo.startsWith('Biz')).map((row): [number, string] => [row.httpStatus, row.code]),
]);

/** Statuses without a code of their own get the code of their class; the real status is logged beside it. */
const BY_CLASS: readonly (string | undefined)[] = [undefined, '1800', '1000', '6102', '6201', '6301'];

/**
 * The code of a response whose status the backend chose itself. Status 0 (no response was started) and numbers that are no
 * HTTP status give 5000. Never use it for replies the gateway made: those have a cause.
 */
export function codeFromStatus(status: number): string {
  return BY_STATUS.get(status) ?? BY_CLASS[Math.floor(status / 100)] ?? '5000';
}

/** Whether a call with this code counts as success: 1000, 1100, 18xx, 1999, 8002. Anything else, unknown codes too, does not. */
export function isSuccess(code: string): boolean {
  return /^(?:1000|1100|18\d\d|1999|8002)$/.test(code);
}

function repaired(row: (typeof rows)[number]): ResultCode {
  const repair = TIP_REPAIRS[row.code];
  if (!repair) return row;
  return { ...row, tipsZh: repair.tipsZh, tipsEn: repair.tipsEn, sourceTipsZh: row.tipsZh };
}
