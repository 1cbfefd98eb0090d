import { TYPE } from '../ads/resource.js';
import type { AppIr } from '../ir/app.js';
import { appResource } from '../policy/app.js';
import { serviceKeyResource } from '../policy/service-key.js';
import { Table } from './fleet-table.js';
import { linkOf } from './group-content.js';
import type { Journal } from './journal.js';
import type { Objects, Owner, StoredObject, Touched } from './objects.js';

/** What every fleet of the workspace is served: Apps, and the keys of clusters that want signed requests. */
export class SharedTable {
  readonly table = new Table();
  readonly #workspace: string;
  readonly #objects: Objects;

  constructor(workspace: string, objects: Objects) {
    this.#workspace = workspace;
    this.#objects = objects;
  }

  /** Compiles anew what the change may have altered; returns the names of the Apps among it. */
  update(journal: Journal, touched: readonly Touched[], owners: readonly Owner[]): string[] {
    journal.onRollback(
      () => this.table.forget(),
      () => {},
    );
    const apps = new Set<string>();
    const clusters = new Set<string>();
    for (const { kind, name } of owners) (kind === 'app' ? apps : clusters).add(name);
    for (const { kind, name, before, after } of touched) {
      if (kind === 'app') {
        apps.add(name);
        if (before) this.table.drop({ type: TYPE.app, name: before.id });
      } else if (kind === 'cluster') {
        clusters.add(name);
        if (before) this.table.drop({ type: TYPE.serviceKey, name: before.id });
      } else if (kind !== 'fleet' && before?.id !== after?.id) {
        const granted = kind === 'api' ? this.#objects.appsGrantedApi : this.#objects.appsGrantedGroup;
        for (const app of granted.of(name)) apps.add(app);
      }
    }
    const known = [...apps].sort().flatMap((name) => this.#objects.find('app', name) ?? []);
    // After the drops: an id may have moved from one object to another.
    for (const app of known) this.table.put(appResource(this.#resolve(app)));
    for (const name of clusters) this.#updateServiceKey(name);
    return [...apps].sort();
  }

  #resolve({ id, name, spec }: StoredObject<'app'>): AppIr {
    const ids = (kind: 'api' | 'group', names: readonly string[] = []) =>
      names.flatMap((granted) => this.#objects.find(kind, granted)?.id ?? []).sort();
    return {
      id,
      name,
      workspace: this.#workspace,
      enabled: spec.enabled ?? true,
      credentials: this.#objects.credentials({ kind: 'app', name }),
      grantedApiIds: ids('api', spec.grants?.apis),
      grantedGroupIds: ids('group', spec.grants?.groups),
    };
  }

  #updateServiceKey(name: string): void {
    const cluster = this.#objects.find('cluster', name);
    if (!cluster) return;
    const credential = this.#objects.credentials({ kind: 'cluster', name }).find(({ enabled }) => enabled);
    if (linkOf(cluster).signed && credential) this.table.put(serviceKeyResource(cluster.id, credential));
    else this.table.drop({ type: TYPE.serviceKey, name: cluster.id });
  }
}
