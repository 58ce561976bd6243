// The client of Mooring's API: every path, parameter and answer has its type from the API's description (schema.d.ts, `make client`).

import createFetchClient, { type Client } from "openapi-fetch";
import { follow, type StreamOptions, type StreamMessage } from "./stream.js";
import type { components, paths } from "./schema.js";

/** What went wrong, as the API says it (RFC 9457). */
export type Problem = components["schemas"]["Problem"];

/** Where access tokens come from. */
export interface TokenProvider {
  /** The token to use now; none for what is public. */
  token(): Promise<string | undefined>;
  /** Called when `refused` was no good any more: gives another, or none when the person has to sign in again. Several calls at once share one answer. */
  refresh?(refused: string): Promise<string | undefined>;
}

export interface ClientOptions {
  /** Where the server is: `https://host:8443`, without a slash at the end. */
  baseUrl: string;
  tokens: TokenProvider;
  /** Instead of the platform's own. */
  fetch?: (request: Request) => Promise<Response>;
}

/** An answer that is no success. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";

  constructor(
    readonly problem: Problem,
    /** Names the request in the server's log. */
    readonly requestId: string | undefined,
    /** When to try again. */
    readonly retryAfterSeconds: number | undefined,
  ) {
    super(`${problem.title}: ${problem.detail}`);
  }

  get status(): number {
    return this.problem.status;
  }

  /** Whether it is this kind of problem, such as `already-claimed`. */
  is(kind: string): boolean {
    return this.problem.type === `/problems/${kind}`;
  }
}

/** What was asked for, with its version. */
export interface Versioned<T> {
  data: T;
  /** The version, for `ifMatch`. */
  etag: string | undefined;
}

type Fetched = { data?: unknown; error?: unknown; response: Response };
/** The body of the success among the answers of a call. */
export type DataOf<R> = R extends { data: infer T; error?: never } ? T : never;

export interface MooringClient extends Client<paths> {
  /** The events of all devices in which the person has a part, until `signal` ends it; it goes on by itself where it was cut off. */
  stream(options?: StreamOptions): AsyncGenerator<StreamMessage, void>;
}

export function createClient(options: ClientOptions): MooringClient {
  const send = authorized(options.tokens, options.fetch ?? ((request) => fetch(request)));
  const client = createFetchClient<paths>({ baseUrl: options.baseUrl, fetch: send });
  client.use({ onRequest: ({ request }) => withIdempotencyKey(request) });
  const stream = (how: StreamOptions = {}) =>
    follow((headers, signal) => send(new Request(`${options.baseUrl}/v1/stream`, { headers, signal })), failure, how);
  return Object.assign(client, { stream });
}

/** The data of an answer; throws a `ProblemError` when it is none. */
export async function answer<R extends Fetched>(call: Promise<R>): Promise<DataOf<R>> {
  return (await versioned(call)).data;
}

/** The same with the version of the thing. */
export async function versioned<R extends Fetched>(call: Promise<R>): Promise<Versioned<DataOf<R>>> {
  const { data, error, response } = await call;
  if (!response.ok) throw problemOf(error, response);
  return { data: data as DataOf<R>, etag: response.headers.get("etag") ?? undefined };
}

/** The header that makes a change to this version alone: refused with `version-mismatch` when somebody was faster. */
export function ifMatch(version: { etag: string | undefined }): { "If-Match"?: string } {
  return version.etag === undefined ? {} : { "If-Match": version.etag };
}

/** A POST that is sent again, by whomever, is done once. A caller that wants to send it again after a crash names it itself. */
function withIdempotencyKey(request: Request): Request {
  if (request.method === "POST" && !request.headers.has("idempotency-key")) {
    request.headers.set("idempotency-key", crypto.randomUUID());
  }
  return request;
}

/** Sends requests with a token; once more with another one when it was refused. */
function authorized(
  tokens: TokenProvider,
  send: (request: Request) => Promise<Response>,
): (request: Request) => Promise<Response> {
  let refreshing: Promise<string | undefined> | undefined;
  // Requests that are refused at the same time wait for one refresh: a refresh token works once.
  const refreshed = async (refused: string) => {
    const now = await tokens.token();
    if (now !== refused) return now;
    refreshing ??= Promise.resolve(tokens.refresh?.(refused)).finally(() => (refreshing = undefined));
    return refreshing;
  };
  const bearing = (request: Request, token: string | undefined) => {
    if (token !== undefined) request.headers.set("authorization", `Bearer ${token}`);
    return request;
  };
  return async (request) => {
    const token = await tokens.token();
    // A body can be read once.
    const again = request.clone();
    const response = await send(bearing(request, token));
    if (response.status !== 401 || token === undefined) return response;
    const other = await refreshed(token);
    if (other === undefined || other === token) return response;
    await response.body?.cancel();
    return send(bearing(again, other));
  };
}

/** An answer that is no success, as an error. */
async function failure(response: Response): Promise<ProblemError> {
  const text = await response.text();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = text;
  }
  return problemOf(body, response);
}

function problemOf(body: unknown, response: Response): ProblemError {
  const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
  // A proxy on the way answers in its own words.
  const said: Problem = isProblem(body)
    ? body
    : { type: "about:blank", title: response.statusText || `HTTP ${response.status}`, status: response.status, detail: String(body ?? "") };
  return new ProblemError(
    said,
    response.headers.get("x-request-id") ?? undefined,
    Number.isFinite(retryAfter) ? retryAfter : undefined,
  );
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "type" in body && "title" in body && "status" in body;
}
