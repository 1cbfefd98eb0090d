/** Where a node or an endpoint stands, from the wide to the narrow; `''`: not said. Envoy calls the room a sub-zone. */
export interface Place {
  readonly region: string;
  readonly zone: string;
  readonly room: string;
}
