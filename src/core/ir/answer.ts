/** What is asked of DNS. */
export interface Question {
  readonly type: 'address' | 'srv';
  /** Lower case, without trailing dot. */
  readonly name: string;
}

/** What DNS told, for one question. */
export interface Answer extends Question {
  /** Sorted by address, then port; each once. Only what a request can be sent to. */
  readonly addresses: readonly AnsweredAddress[];
}

export interface AnsweredAddress {
  /** In canonical form. */
  readonly host: string;
  /** The rest is told by SRV records only. */
  readonly port?: number;
  readonly weight?: number;
  /** Rank of the record's priority among those of the name. */
  readonly tier?: number;
  /** Name that has the address. */
  readonly target?: string;
}
