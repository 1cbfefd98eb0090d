import type { LogStore } from './store.js';

/** `paifang.v1.ShipRequest`, as the codec gives it. */
export interface Shipment {
  readonly node: string;
  readonly cluster: string;
  readonly file: string;
  readonly offset: bigint;
  readonly lines: Uint8Array;
}

/** `paifang.v1.ShipResponse`. */
export interface Receipt {
  readonly storedTo: bigint;
  readonly unparsed: number;
}

/** Why a shipment was not taken: it can never be (INVALID_ARGUMENT), or not now (UNAVAILABLE: the edge keeps it and sends again). */
export class ShipmentRefused extends Error {
  readonly status: 'INVALID_ARGUMENT' | 'UNAVAILABLE';

  constructor(status: ShipmentRefused['status'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

export interface CollectorStats {
  readonly lines: number;
  readonly unparsed: number;
  readonly refused: number;
}

/** Twice what an edge sends at most, under the 4 MiB that gRPC takes by default. */
const MAX_BYTES = 2 << 20;
const MAX_NAME = 512;

/** The handler of `LogCollector.Ship`, without its wire form. */
export class LogCollector {
  readonly #store: LogStore;
  #lines = 0;
  #unparsed = 0;
  #refused = 0;

  constructor(store: LogStore) {
    this.#store = store;
  }

  /** Stores one shipment. Resolves only after its lines are safe; rejects with {@link ShipmentRefused}, and then none is. */
  async collect(shipment: Shipment): Promise<Receipt> {
    const fault = faultOf(shipment);
    if (fault !== undefined) {
      this.#refused++;
      throw new ShipmentRefused('INVALID_ARGUMENT', fault);
    }
    const { node, cluster, file, offset, lines } = shipment;
    try {
      const appended = await this.#store.append({ node, cluster, file, offset: Number(offset), lines });
      this.#lines += appended.lines;
      this.#unparsed += appended.unparsed;
      return { storedTo: BigInt(appended.storedTo), unparsed: appended.unparsed };
    } catch (error) {
      this.#refused++;
      const reason = error instanceof Error ? error.message : String(error);
      throw new ShipmentRefused('UNAVAILABLE', `the log store did not take the lines: ${reason}`, { cause: error });
    }
  }

  stats(): CollectorStats {
    return { lines: this.#lines, unparsed: this.#unparsed, refused: this.#refused };
  }
}

function faultOf({ node, cluster, file, offset, lines }: Shipment): string | undefined {
  for (const [name, value] of Object.entries({ node, cluster, file })) {
    if (value === '') return `${name} is empty`;
    if (value.length > MAX_NAME) return `${name} is longer than ${MAX_NAME} characters`;
  }
  if (offset < 0n || offset > BigInt(Number.MAX_SAFE_INTEGER - MAX_BYTES)) return `offset ${offset} is out of range`;
  if (lines.length === 0) return 'lines is empty';
  return lines.length > MAX_BYTES ? `lines has ${lines.length} bytes, more than ${MAX_BYTES}` : undefined;
}
