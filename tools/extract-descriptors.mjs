// Reads the protobuf descriptors that an Envoy binary carries and writes the wanted ones as a FileDescriptorSet.
// Usage: node tools/extract-descriptors.mjs <envoy binary> <file with wanted proto names> <out.binpb>
//
// Envoy registers every .proto it was built from as a serialized FileDescriptorProto. Nothing marks where one starts or
// ends, so the scan looks for a file name in the place of field 1 and walks the fields of FileDescriptorProto from there
// until something that cannot belong to it. This works for ELF, Mach-O and PE alike. What comes out is the protocol of
// exactly the Envoy that will be run; nothing is vendored.
import { readFileSync, writeFileSync } from 'node:fs';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

// FileDescriptorProto: name, package, dependency, message_type, enum_type, service, extension, options,
// source_code_info, syntax are length-delimited; public_dependency, weak_dependency, edition are varints.
const LENGTH_DELIMITED_FIELDS = new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 12]);
const VARINT_FIELDS = new Set([10, 11, 14]);
const MAX_NAME_LENGTH = 127; // one length byte; no file of Envoy's has a longer name

const [binaryPath, wantedPath, outPath] = process.argv.slice(2);
if (!binaryPath || !wantedPath || !outPath) {
  console.error('usage: extract-descriptors.mjs <envoy binary> <wanted list> <out.binpb>');
  process.exit(2);
}
const wanted = readFileSync(wantedPath, 'utf8')
  .split('\n')
  .map((line) => line.replace(/#.*/, '').trim())
  .filter((line) => line !== '');
const found = scan(readFileSync(binaryPath));
if (found.size === 0) fail(`${binaryPath} carries no protobuf descriptors. Is it an Envoy binary?`);
const missing = wanted.filter((name) => !found.has(name));
if (missing.length > 0) fail(`${binaryPath} does not carry these files of ${wantedPath}:\n  ${missing.join('\n  ')}`);

const file = closure(wanted, found);
for (const fd of file) setJsonNames(fd);
writeFileSync(outPath, toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file })));
console.log(`${file.length} of ${found.size} descriptors`);

function fail(message) {
  console.error(message);
  process.exit(1);
}

/** Every FileDescriptorProto in `buffer`, by file name; of several under one name the longest, which is the whole one. */
function scan(buffer) {
  const best = new Map();
  for (let hit = buffer.indexOf('.proto'); hit !== -1; hit = buffer.indexOf('.proto', hit + 1)) {
    const start = startOfDescriptor(buffer, hit + '.proto'.length);
    if (start === -1) continue;
    const stop = endOfDescriptor(buffer, start);
    const name = buffer.toString('latin1', start + 2, start + 2 + buffer[start + 1]);
    const known = best.get(name);
    if (known === undefined || stop - start > known.length) best.set(name, buffer.subarray(start, stop));
  }
  const files = new Map();
  for (const [name, bytes] of best) {
    try {
      const fd = fromBinary(FileDescriptorProtoSchema, bytes);
      if (
        fd.messageType.length + fd.enumType.length + fd.service.length + fd.extension.length + fd.dependency.length >
        0
      ) {
        files.set(name, fd);
      }
    } catch {
      // A file name in some other string table whose neighbourhood happens to look like fields.
    }
  }
  return files;
}

/** Offset of the tag byte (0x0a) of field 1 whose name ends at `nameEnd`, or -1. */
function startOfDescriptor(buffer, nameEnd) {
  for (let length = '.proto'.length + 1; length <= MAX_NAME_LENGTH && nameEnd - length >= 2; length++) {
    const nameStart = nameEnd - length;
    if (!isNameByte(buffer[nameStart])) return -1;
    if (buffer[nameStart - 1] === length && buffer[nameStart - 2] === 0x0a) return nameStart - 2;
  }
  return -1;
}

function isNameByte(byte) {
  return (
    (byte >= 0x61 && byte <= 0x7a) || // a-z
    (byte >= 0x41 && byte <= 0x5a) || // A-Z
    (byte >= 0x30 && byte <= 0x39) || // 0-9
    byte === 0x2f || // /
    byte === 0x5f || // _
    byte === 0x2d || // -
    byte === 0x2e // .
  );
}

function endOfDescriptor(buffer, start) {
  let at = start;
  let names = 0;
  for (;;) {
    const tag = varint(buffer, at);
    if (tag === undefined) return at;
    const field = tag.value >>> 3;
    const wireType = tag.value & 7;
    if (field === 1 && ++names > 1) return at; // the next file begins
    if (wireType === 2 && LENGTH_DELIMITED_FIELDS.has(field)) {
      const length = varint(buffer, tag.end);
      if (length === undefined || length.end + length.value > buffer.length) return at;
      at = length.end + length.value;
    } else if (wireType === 0 && VARINT_FIELDS.has(field)) {
      const value = varint(buffer, tag.end);
      if (value === undefined) return at;
      at = value.end;
    } else {
      return at;
    }
  }
}

/** A varint of at most 28 bits at `at`, or undefined. No length in a descriptor is larger. */
function varint(buffer, at) {
  let value = 0;
  for (let i = 0; i < 4; i++) {
    const byte = buffer[at + i];
    if (byte === undefined) return undefined;
    value |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) return { value, end: at + i + 1 };
  }
  return undefined;
}

/** `names` and all they import, imports first. */
function closure(names, files) {
  const order = [];
  const state = new Map();
  const visit = (name, importer) => {
    if (state.has(name)) return;
    state.set(name, true);
    const fd = files.get(name);
    if (fd === undefined) fail(`${name}, imported by ${importer}, is not in the binary.`);
    for (const dependency of fd.dependency) visit(dependency, name);
    order.push(fd);
  };
  for (const name of names) visit(name, wantedPath);
  return order;
}

// The compiler that writes descriptors for a plugin fills json_name; those embedded in C++ carry none.
function setJsonNames(scope) {
  for (const field of scope.field ?? []) field.jsonName = camelCase(field.name);
  for (const field of scope.extension) field.jsonName = camelCase(field.name);
  for (const nested of scope.messageType ?? scope.nestedType) setJsonNames(nested);
}

function camelCase(name) {
  return name.replace(/_+([a-z0-9]?)/g, (_, letter) => letter.toUpperCase());
}
