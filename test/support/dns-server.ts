import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { type Answer, decode, encode, type Packet, type Question, type RecordType } from 'dns-packet';
import { onCleanup } from './cleanup.js';

/** What the server knows of a name. A type that is not there has no record. */
export interface Zone {
  readonly a?: readonly string[];
  readonly aaaa?: readonly string[];
  readonly srv?: readonly { target: string; port: number; priority?: number; weight?: number }[];
  /** Records as they are, whatever is asked. */
  readonly raw?: readonly Answer[];
  /** Seconds to live. Default 0. */
  readonly ttl?: number;
  /** Instead of an answer; silent: none at all. */
  readonly fault?: 'SERVFAIL' | 'REFUSED' | 'silent' | 'garbage';
}

export interface DnsServer {
  readonly port: number;
  /** 127.0.0.1:port */
  readonly address: string;
  /** Questions so far, as `A name`. */
  readonly asked: string[];
  /** When each of them came, by the monotonic clock. */
  readonly askedAt: number[];
  /** From now on `name` (lower case, no final dot) is this; undefined: there is no such name. */
  set(name: string, zone: Zone | undefined): void;
  /** Does not answer any more, as a server that is gone, until told otherwise. */
  mute(muted: boolean): void;
}

const RCODE = { NXDOMAIN: 3, SERVFAIL: 2, REFUSED: 5 } as const;
const AUTHORITATIVE = 1 << 10;
const TRUNCATED = 1 << 9;
const LARGEST_UDP = 1232;

/** A DNS server on a loopback port, over UDP and TCP, which answers what the test says. Ends with the test or file. */
export async function startDnsServer(zones: Record<string, Zone> = {}): Promise<DnsServer> {
  const known = new Map(Object.entries(zones));
  const asked: string[] = [];
  const askedAt: number[] = [];
  let muted = false;
  /** The answer, or nothing. */
  const answer = (message: Buffer, udp: boolean): Uint8Array | undefined => {
    const query = decode(message);
    const question = query.questions?.[0];
    if (!question || muted) return undefined;
    asked.push(`${question.type} ${question.name}`);
    askedAt.push(performance.now());
    const zone = known.get(question.name.toLowerCase());
    if (zone?.fault === 'silent') return undefined;
    if (zone?.fault === 'garbage') return Buffer.concat([message.subarray(0, 2), Buffer.from('no answer at all')]);
    const rcode = zone === undefined ? RCODE.NXDOMAIN : zone.fault === undefined ? 0 : RCODE[zone.fault];
    const reply: Packet = {
      type: 'response',
      ...(query.id !== undefined && { id: query.id }),
      flags: AUTHORITATIVE | rcode,
      questions: [question],
      answers: zone && rcode === 0 ? answersOf(question, zone) : [],
    };
    const bytes = encode(reply);
    if (!udp || bytes.length <= LARGEST_UDP) return bytes;
    return encode({ ...reply, flags: AUTHORITATIVE | TRUNCATED, answers: [] });
  };

  const tcp = createServer((socket) => {
    let read = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      read = Buffer.concat([read, chunk]);
      while (read.length >= 2 && read.length >= 2 + read.readUInt16BE(0)) {
        const length = read.readUInt16BE(0);
        const bytes = answer(read.subarray(2, 2 + length), false);
        read = read.subarray(2 + length);
        if (!bytes) continue;
        const size = Buffer.alloc(2);
        size.writeUInt16BE(bytes.length);
        socket.write(Buffer.concat([size, bytes]));
      }
    });
  });
  await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
  const port = (tcp.address() as { port: number }).port;
  const udp = createSocket('udp4');
  udp.on('message', (message, { port, address }) => {
    const bytes = answer(message, true);
    if (bytes) udp.send(bytes, port, address);
  });
  await new Promise<void>((resolve) => udp.bind(port, '127.0.0.1', resolve));
  onCleanup(async () => {
    udp.close();
    tcp.close();
  });
  return {
    port,
    address: `127.0.0.1:${port}`,
    asked,
    askedAt,
    set(name, zone) {
      if (zone) known.set(name, zone);
      else known.delete(name);
    },
    mute(value) {
      muted = value;
    },
  };
}

function answersOf({ name, type }: Question, { a, aaaa, srv, raw, ttl = 0 }: Zone): Answer[] {
  if (raw) return [...raw];
  const of = (wanted: RecordType) => wanted === type;
  if (of('A')) return (a ?? []).map((data) => ({ type: 'A', name, ttl, data }));
  if (of('AAAA')) return (aaaa ?? []).map((data) => ({ type: 'AAAA', name, ttl, data }));
  if (!of('SRV')) return [];
  return (srv ?? []).map(({ priority = 0, weight = 1, ...data }) => ({
    type: 'SRV',
    name,
    ttl,
    data: { priority, weight, ...data },
  }));
}
