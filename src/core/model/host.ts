import type { Fault } from './fault.js';

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
const IPV4 = /^(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;

/** 4 or 6 for the text form of an IP address (IPv6 without brackets and zone), else undefined. */
export function ipVersion(text: string): 4 | 6 | undefined {
  if (IPV4.test(text) && !/(?:^|\.)0\d/.test(text)) return 4;
  if (/^[0-9a-fA-F:.]+$/.test(text) && text.includes(':') && URL.parse(`http://[${text}]/`)) return 6;
  return undefined;
}

/** `text`, an IP address, in the one form by which equal addresses can be told (RFC 5952 for IPv6). */
export function canonicalIp(text: string): string {
  return ipVersion(text) === 6 ? (URL.parse(`http://[${text}]/`)?.hostname ?? text).slice(1, -1) : text;
}

/**
 * Whether `text` is a DNS name: labels of letters, digits, `-` and `_` (resolvers and clients take the underscore, RFC 2181
 * §11), the last one not all digits, so that it cannot be meant as an IP address. Compared without case.
 */
export function isDnsName(text: string): boolean {
  const labels = text.toLowerCase().split('.');
  return text.length <= 253 && labels.every((label) => LABEL.test(label)) && !/^\d+$/.test(labels.at(-1) ?? '');
}

/**
 * What is wrong with `host` as a key by which requests find their group: a lower-case DNS name, an IPv4 address, or an IPv6
 * address in brackets, as they stand in a Host header, without port. The key is compared as a string (Envoy's scoped
 * routes know no wildcard), hence one spelling each.
 */
export function hostFault(host: string): Fault | undefined {
  const shown = JSON.stringify(host);
  if (host === '') return { message: 'The host is empty.', hint: 'Write a name such as orders.example.com.' };
  if (host.includes('*')) {
    return {
      message: `${shown} is a wildcard; a group is found by its exact host.`,
      hint: 'List each host. Clients of other hosts can name one of them in x-gateway-host.',
    };
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(host)) {
    return {
      message: `${shown} is a URL, not a host.`,
      hint: `Write ${URL.parse(host)?.hostname || 'the host alone'}.`,
    };
  }
  if (ipVersion(host) === 4) return undefined;
  if (ipVersion(host) === 6) {
    return { message: `${shown} is an IPv6 address without brackets.`, hint: `Write [${canonicalIp(host)}].` };
  }
  const port = /^(.*[^:]):(\d*)$/.exec(host);
  if (port && (isDnsName(port[1] ?? '') || port[1]?.endsWith(']') || IPV4.test(port[1] ?? ''))) {
    return { message: `${shown} has a port; hosts are compared without it.`, hint: `Write ${port[1]?.toLowerCase()}.` };
  }
  if (host.startsWith('[') && host.endsWith(']') && ipVersion(host.slice(1, -1)) === 6) {
    const canonical = `[${canonicalIp(host.slice(1, -1))}]`;
    if (host === canonical) return undefined;
    return { message: `${shown} is not the canonical form of the address.`, hint: `Write ${canonical} (RFC 5952).` };
  }
  if (!isDnsName(host)) {
    const ascii = /[^\x20-\x7e]/.test(host) ? URL.parse(`http://${host}/`)?.hostname : undefined;
    if (ascii && isDnsName(ascii)) {
      return { message: `${shown} has letters beyond ASCII; clients send it in ASCII.`, hint: `Write ${ascii}.` };
    }
    return {
      message: `${shown} is neither a DNS name nor an IP address.`,
      hint: 'Labels of letters, digits and "-" between dots, at most 63 each and 253 in all, without trailing dot.',
    };
  }
  if (host !== host.toLowerCase()) {
    return {
      message: `${shown} has upper-case letters; hosts are compared without case.`,
      hint: `Write ${host.toLowerCase()}.`,
    };
  }
  return undefined;
}

/** What is wrong with `text` as a Host header sent to a backend: a DNS name or IP address, with or without port. */
export function authorityFault(text: string): Fault | undefined {
  const [, host = '', port] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const ip = host.startsWith('[') ? ipVersion(host.slice(1, -1)) === 6 : ipVersion(host) === 4;
  if ((ip || isDnsName(host)) && (port === undefined || (Number(port) >= 1 && Number(port) <= 65_535)))
    return undefined;
  return {
    message: `${JSON.stringify(text)} cannot be sent as a Host header.`,
    hint: 'Write a DNS name or IP address, with a port if the backend wants one: orders.internal:8080.',
  };
}
