/**
 * Tips that are wrong in the product's published table, with the text we show instead. Only tips are repaired: codes,
 * statuses and memos are a contract. The catalogue keeps the published text beside the repaired one.
 */
export interface TipRepair {
  readonly tipsZh: string;
  readonly tipsEn: string;
  /** What is wrong with the published text. */
  readonly fault: string;
}

export const TIP_REPAIRS: Readonly<Record<string, TipRepair>> = {
  '2100': {
    tipsZh: '网关没有获取到客户端请求的签名信息，请对请求加签后再访问网关。',
    tipsEn: 'The gateway found no signature in the client request; sign the request before calling the gateway.',
    fault: 'A stray preposition breaks the sentence.',
  },
  '2111': {
    tipsZh: '网关没有获取到服务端响应的签名信息，请对响应加签后再返回。',
    tipsEn: 'The gateway found no signature in the response of the server; sign the response before returning it.',
    fault: 'It speaks of a request of the server and asks to sign the request.',
  },
  '2116': {
    tipsZh: '网关对客户端请求的摘要校验失败，请检查 Digest 与请求体是否一致。',
    tipsEn:
      'The gateway failed to verify the digest of the client request; check that Digest is that of the body as sent.',
    fault: 'It repeats the tip of 2115, which is about the timestamp.',
  },
  '3001': {
    tipsZh: '网关不存在该 API 分组。',
    tipsEn: 'The API group does not exist on the gateway; check the Host or x-gateway-host of the request.',
    fault: 'It repeats the tip of 3000, which is about an API.',
  },
  '4010': {
    tipsZh: '没有找到目标 SOFARPC 方法名。',
    tipsEn: 'The target SOFARPC method name was not found.',
    fault: 'The tips of 4010 and 4011 are exchanged.',
  },
  '4011': {
    tipsZh: '没有找到目标 SOFARPC 服务。',
    tipsEn: 'The target SOFARPC service was not found.',
    fault: 'The tips of 4010 and 4011 are exchanged.',
  },
  '4101': {
    tipsZh: 'SOFARPC 请求解码失败。',
    tipsEn: 'Decoding the SOFARPC request failed.',
    fault: 'The product name is misspelt.',
  },
  '5000': {
    tipsZh: '未知异常。',
    tipsEn: 'Unknown exception.',
    fault: 'The full stop is missing.',
  },
  '5003': {
    tipsZh: '网关异常，没有找到对应的端口实例，请联系网关同学排查。',
    tipsEn: 'Gateway exception: the listener has no running instance; contact the gateway team.',
    fault: 'It repeats the tip of 5002, which is about the configuration of a port.',
  },
  '6305': {
    tipsZh: '服务端响应时间超过 API 配置的超时时间，或后端服务返回 504，请查看后端服务日志和 API 的超时设置。',
    tipsEn:
      'The backend took longer than the timeout of the API, or answered 504 itself; check the backend service log and the timeout of the API.',
    fault: 'The fault list of the same product defines 6305 as the timeout of the API.',
  },
  '7007': {
    tipsZh: '解压失败，请检查压缩数据格式。',
    tipsEn: 'Decompression failed; check the format of the compressed data.',
    fault: 'It speaks of keys, which belongs to 7001.',
  },
  '8003': {
    tipsZh: '跨域资源共享访问被拒绝，请检查 API 的跨域设置。',
    tipsEn: 'Cross-origin access was refused; check the cross-origin settings of the API.',
    fault: 'It is two untranslated words.',
  },
  '8200': {
    tipsZh: 'LDC 配置丢失，请重新提交 LDC 路由设置。',
    tipsEn: 'The LDC configuration is missing; submit the LDC routing settings again.',
    fault: 'It says dropped for lost.',
  },
};
