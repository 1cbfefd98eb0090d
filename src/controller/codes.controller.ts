import { Controller } from '@nestjs/common';
import { Type } from 'typebox';
import { CODES, codeOf } from '../core/codes/catalogue.js';
import { Checked, Handles, type InputOf, operation } from './operation.js';
import { notFound } from './problem.js';

const Code = Type.Object(
  {
    code: Type.String(),
    httpStatus: Type.Integer(),
    memo: Type.String({ description: 'Not unique; never a key.' }),
    tipsZh: Type.String(),
    tipsEn: Type.String(),
    sourceTipsZh: Type.Optional(Type.String()),
    why: Type.Optional(Type.String()),
  },
  { title: 'ResultCode' },
);
const tag = 'codes';
const LIST = operation({
  method: 'GET',
  path: '/api/v1/codes',
  id: 'listCodes',
  tag,
  summary: 'The catalogue of result codes',
  open: true,
  answers: {
    200: {
      description: 'All of them.',
      schema: Type.Object({ items: Type.Array(Code), total: Type.Integer() }, { title: 'CodePage' }),
    },
  },
});
const OneCode = Type.Object({ code: Type.String({ pattern: '^[0-9]{4}$', description: 'Four digits.' }) });
const answers = { 200: { description: 'The code.', schema: Code } };
const GET = operation({
  method: 'GET',
  path: '/api/v1/codes/{code}',
  id: 'getCode',
  tag,
  summary: 'What a result code means',
  open: true,
  params: OneCode,
  answers,
  problems: [404],
});
/** The address in the bodies of the gateway's own errors. */
const DOCS = operation({
  method: 'GET',
  path: '/codes/{code}',
  id: 'getCodeDocs',
  tag,
  summary: 'What a result code means (address in error bodies)',
  open: true,
  params: OneCode,
  answers,
  problems: [404],
});

@Controller()
export class CodesController {
  @Handles(LIST)
  list() {
    const items = [...CODES.values()];
    return { items, total: items.length };
  }

  @Handles(GET)
  get(@Checked() { params }: InputOf<typeof GET>) {
    const found = codeOf(params.code);
    if (!found) throw notFound(`Result code ${params.code}`, 'All codes: GET /api/v1/codes.');
    return found;
  }

  @Handles(DOCS)
  docs(@Checked() input: InputOf<typeof DOCS>) {
    return this.get(input);
  }
}
