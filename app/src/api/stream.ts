// Server-sent events over fetch, which unlike EventSource sends a token (HTML, 9.2: the form of the stream, and how it goes on).

import type { components } from "./schema.js";

/** What a device said. */
export type DeviceEvent = components["schemas"]["StreamEvent"];

/** What comes out of the stream. */
export type StreamMessage =
  /** It is open; from here on, what comes is live. */
  | { type: "open"; id: string }
  | { type: "event"; id: string; event: DeviceEvent }
  /** More was missed than is given again: fetch what is shown anew. */
  | { type: "gap" };

export interface StreamOptions {
  /** Ends the stream. */
  signal?: AbortSignal;
  /** Where an earlier stream was left. */
  lastEventId?: string;
}

/** One message of the wire. */
interface Frame {
  id: string | undefined;
  event: string;
  data: string;
  retryMs: number | undefined;
}

const RETRY_MS = 2_000;
const RETRY_MS_MAX = 30_000;
/** No message of the server is longer. */
const FRAME_CHARS_MAX = 4 * 1024 * 1024;

type Connect = (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>;

/** Goes on where it was cut off, until the signal ends it or the server refuses it. */
export async function* follow(
  connect: Connect,
  failure: (response: Response) => Promise<Error>,
  { signal, lastEventId }: StreamOptions,
): AsyncGenerator<StreamMessage, void> {
  const left = new AbortController();
  const ended = signal ? AbortSignal.any([signal, left.signal]) : left.signal;
  let last = lastEventId;
  let retryMs = RETRY_MS;
  let failures = 0;
  try {
    while (!ended.aborted) {
      try {
        const headers: Record<string, string> = { accept: "text/event-stream" };
        if (last !== undefined) headers["last-event-id"] = last;
        const response = await connect(headers, ended);
        if (!response.ok || !response.body) throw new Refused(await failure(response), response.status);
        for await (const frame of frames(response.body)) {
          if (frame.retryMs !== undefined) retryMs = frame.retryMs;
          if (frame.id !== undefined) last = frame.id;
          const message = read(frame);
          // What came along before the end was asked for is not given any more.
          if (ended.aborted) return;
          if (message) {
            failures = 0;
            yield message;
          }
        }
      } catch (error) {
        if (ended.aborted) return;
        // What is no passing trouble would be refused again.
        if (error instanceof Refused && error.status !== 429 && error.status < 500) throw error.why;
      }
      await pause(Math.min(retryMs * 2 ** failures, RETRY_MS_MAX), ended);
      failures = Math.min(failures + 1, 10);
    }
  } finally {
    left.abort();
  }
}

class Refused extends Error {
  constructor(
    readonly why: Error,
    readonly status: number,
  ) {
    super(why.message);
  }
}

function read({ id, event, data }: Frame): StreamMessage | undefined {
  switch (event) {
    case "open":
      return { type: "open", id: id ?? "" };
    case "gap":
      return { type: "gap" };
    // Why it ends is of no use here: it is opened again, and refused then if it is over.
    case "end":
    case "":
      return undefined;
    default:
      return { type: "event", id: id ?? "", event: JSON.parse(data) as DeviceEvent };
  }
}

async function* frames(body: ReadableStream<Uint8Array>): AsyncGenerator<Frame, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      // Each message ends with an empty line.
      for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
        yield parse(rest.slice(0, end));
        rest = rest.slice(end + 2);
      }
      if (rest.length > FRAME_CHARS_MAX) throw new Error("a message of the stream is too long");
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function parse(text: string): Frame {
  const frame: Frame = { id: undefined, event: "", data: "", retryMs: undefined };
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    // A line that begins with a colon keeps the connection open, and says nothing.
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    switch (line.slice(0, colon)) {
      case "id":
        frame.id = value;
        break;
      case "event":
        frame.event = value;
        break;
      case "data":
        frame.data += (frame.data && "\n") + value;
        break;
      case "retry":
        frame.retryMs = Number(value);
        break;
    }
  }
  return frame;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) return done();
    const timer = setTimeout(finish, ms);
    function finish() {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      done();
    }
    signal.addEventListener("abort", finish);
  });
}
