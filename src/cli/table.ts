import { columns, cut, paint, visible, width } from './terminal.js';

export interface Column<Row> {
  readonly head: string;
  readonly cell: (row: Row) => string | number | null | undefined;
  readonly right?: boolean;
  /** Takes what the others leave over and is cut first when the terminal is too narrow. */
  readonly flexible?: boolean;
}

const GAP = '  ';
const NARROWEST = 8;

/** `rows` as an aligned table with a head line. Absent values are `-`. Cut to the terminal's width; never in a pipe. */
export function table<Row>(rows: readonly Row[], spec: readonly Column<Row>[], limit = columns()): string {
  const cells = rows.map((row) => spec.map(({ cell }) => show(cell(row))));
  const widths = spec.map(({ head }, i) => Math.max(width(head), ...cells.map((row) => width(row[i] ?? ''))));
  if (limit !== undefined) shrink(widths, spec, limit);
  const head = paint(
    'bold',
    layout(
      spec.map((c) => c.head),
      spec,
      widths,
    ),
  );
  return [head, ...cells.map((row) => layout(row, spec, widths))].join('\n');
}

function show(value: string | number | null | undefined): string {
  return value === null || value === undefined || value === '' ? '-' : visible(String(value));
}

function shrink<Row>(widths: number[], spec: readonly Column<Row>[], limit: number): void {
  let over = widths.reduce((a, b) => a + b, 0) + GAP.length * (widths.length - 1) - limit;
  for (const [i, column] of spec.entries()) {
    if (over <= 0 || !column.flexible) continue;
    const own = widths[i] ?? 0;
    const taken = Math.min(over, Math.max(0, own - NARROWEST));
    widths[i] = own - taken;
    over -= taken;
  }
}

function layout<Row>(cells: readonly string[], spec: readonly Column<Row>[], widths: readonly number[]): string {
  return cells
    .map((cell, i) => {
      const text = cut(cell, widths[i] ?? 0);
      const space = ' '.repeat(Math.max(0, (widths[i] ?? 0) - width(text)));
      return spec[i]?.right ? space + text : text + space;
    })
    .join(GAP)
    .trimEnd();
}

/** Pairs as `name  value` lines, the names padded to one width. Pairs without a value are left out. */
export function facts(pairs: readonly (readonly [string, string | number | null | undefined])[]): string {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined && value !== '');
  const widest = Math.max(0, ...told.map(([name]) => width(name)));
  return told
    .map(([name, value]) => {
      const space = ' '.repeat(widest - width(name));
      return `${paint('dim', name)}${space}${GAP}${visible(String(value))}`;
    })
    .join('\n');
}
