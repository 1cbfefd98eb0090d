/** What the edge is asked to do on a route; becomes one paifang.v1.Policy, shared by all routes with equal settings. */
export interface PolicyIr {
  /** 16 hex digits: SHA-256 of the other fields as JSON with sorted keys. Name of the resource, and what routes carry. */
  readonly name: string;
  readonly signature?: {
    readonly dialect: 'sofa';
    /** Lower-case, sorted. */
    readonly requiredHeaders: readonly string[];
    readonly digest: 'required' | 'when-present' | 'ignore';
    readonly clockSkewSeconds: number;
    readonly tolerant: boolean;
  };
  /** Id of the cluster whose key signs the request to the backend. */
  readonly resignClusterId?: string;
}
