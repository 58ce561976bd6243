// Writes the types of the API: `node generate.mjs OPENAPI.json SCHEMA.d.ts`, which `make client` does.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const HEADER = `// Generated from docs/openapi.json by openapi-typescript: change the description, then run \`make client\`.

`;

const [from, into] = process.argv.slice(2);
const described = JSON.parse(await readFile(from, "utf8"));
await writeFile(into, HEADER + astToString(await openapiTS(described, { defaultNonNullable: false })));
