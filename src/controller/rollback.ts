import { keyOf } from '../store/objects.js';
import { differing, findRelease } from '../store/releases.js';
import type { Actor, HeadWrite, Publication } from '../store/transaction.js';
import { difference } from './difference.js';
import type { Live } from './live.js';
import type { ObjectChange, Outcome } from './outcome.js';
import { notFound } from './problem.js';
import { release } from './publication.js';
import { referencesOf } from './references.js';

/**
 * Makes a new release whose content is that of release `target`. Heads follow with a new revision, so that the next
 * publication does not bring the later content back; heads with edits that nobody has published stay as they are (`kept`
 * in the outcome): a rollback throws away nobody's work. Objects that were deleted since are made again; their
 * credentials are gone. Cost: what differs between the two releases.
 *
 * @throws Problem when there is no such release, or the old content does not compile any more.
 */
export function rollBack(
  live: Live,
  workspace: string,
  target: number,
  actor: Actor,
  message: string,
  dryRun: boolean,
): Promise<Outcome> {
  return live.change(workspace, actor, dryRun, async (tx, compiler, hearing) => {
    if (target !== 0 && (await findRelease(tx.manager, workspace, target)) === null)
      throw notFound(`Release ${target} of workspace "${workspace}"`);
    const entries = await differing(tx.manager, workspace, tx.workspace.release, target);
    const heads = await tx.heads(entries);
    const writes: HeadWrite[] = [];
    const changes: ObjectChange[] = [];
    const kept: Publication[] = [];
    for (const { kind, name, b } of entries) {
      if (b === undefined) continue;
      const head = heads.get(keyOf({ kind, name }));
      if (head && head.state !== 'deleted' && head.revision !== head.publishedRevision) {
        kept.push(b);
        continue;
      }
      const fields = head && head.state !== 'deleted' ? difference(head.spec, b.spec) : [];
      changes.push({ kind, name, change: head ? 'changed' : 'created', revision: 0, fields: fields.slice(0, 200) });
      const state = head === undefined ? 'draft' : kind === 'api' ? 'online' : 'published';
      writes.push({
        kind,
        name,
        id: b.id,
        spec: b.spec,
        state,
        action: 'rolled back',
        references: referencesOf(kind, b.spec),
      });
    }
    const stored = await tx.putHeads(writes);
    for (const [i, head] of stored.entries()) {
      const change = changes[i];
      if (change) change.revision = head.revision;
    }
    const removals = entries.filter(({ b }) => b === undefined).map(({ kind, name }) => ({ kind, name }));
    const upserts = [...stored, ...kept].map(({ kind, name, id, revision, spec }) => ({
      kind,
      name,
      id,
      revision,
      spec,
    }));
    const made = await release(
      tx,
      live.store,
      compiler,
      hearing,
      { upserts, removals, included: [] },
      { message, rollbackOf: target, pointerOf: () => '' },
    );
    if (made.number !== null) {
      await tx.audit([
        ...changes.map(({ kind, name, revision, fields }) => ({
          action: 'rolled back',
          ref: { kind, name },
          revision,
          changes: fields,
        })),
        {
          action: 'released',
          release: made.number,
          message: message || `rollback to ${target}`,
          changes: { rollbackOf: target, removed: removals },
        },
      ]);
    }
    const names = (objects: readonly { kind: Publication['kind']; name: string }[]) =>
      objects.map(({ kind, name }) => ({ kind, name }));
    const outcome: Outcome = {
      dryRun,
      release: made.number,
      changes,
      published: names(upserts),
      removed: removals,
      alsoPublished: [],
      kept: names(kept),
      ...(made.judgement && { judgement: made.judgement }),
      diagnostics: made.warnings,
    };
    return { outcome, change: made.change };
  });
}
