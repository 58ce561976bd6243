// The client against a server: the settings come in the environment from the test that starts both (broker/cli/tests/suite/app_client.rs).
import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, createClient, ifMatch, ProblemError, versioned, type TokenProvider } from "../src/api/client.js";
import type { StreamMessage } from "../src/api/stream.js";

const { BASE_URL: baseUrl = "", TOKEN: good = "", DEVICE: device = "" } = process.env;
const signedIn: TokenProvider = { token: async () => good };
const mooring = createClient({ baseUrl, tokens: signedIn });
const path = { device_id: device };

test("devices are listed, with the type that the description gives them", async () => {
  const { items, next } = await answer(mooring.GET("/v1/devices", { params: { query: { limit: 10 } } }));
  assert.deepEqual(items.map(({ id, part }) => [id, part]), [[device, "owner"]]);
  assert.equal(next ?? null, null);
});

test("several requests with a stale token share one refresh, and a body is sent again", async () => {
  let token = "mat_stale";
  let refreshes = 0;
  const tokens: TokenProvider = {
    token: async () => token,
    refresh: async (refused) => {
      assert.equal(refused, "mat_stale");
      refreshes += 1;
      await new Promise((done) => setTimeout(done, 20));
      return (token = good);
    },
  };
  const stale = createClient({ baseUrl, tokens });
  const lists = [1, 2, 3].map(() => answer(stale.GET("/v1/devices")));
  const room = answer(stale.POST("/v1/rooms", { body: { name: "Cellar" } }));
  await Promise.all([...lists, room]);
  assert.equal(refreshes, 1);
  const rooms = await answer(mooring.GET("/v1/rooms"));
  assert.deepEqual(rooms.items.map(({ name }) => name), ["Cellar"]);
});

test("a refused token that cannot be refreshed is a problem with its request's name", async () => {
  const nobody = createClient({ baseUrl, tokens: { token: async () => "mat_wrong", refresh: async () => undefined } });
  await assert.rejects(answer(nobody.GET("/v1/devices")), (error) => {
    assert(error instanceof ProblemError);
    assert(error.is("unauthorized") && error.status === 401 && error.requestId, String(error));
    return true;
  });
});

test("a change is for the version that was seen", async () => {
  const seen = await versioned(mooring.GET("/v1/devices/{device_id}", { params: { path } }));
  const rename = (name: string) =>
    answer(mooring.PATCH("/v1/devices/{device_id}", { params: { path, header: ifMatch(seen) }, body: { name } }));
  assert.equal((await rename("Washer")).name, "Washer");
  await assert.rejects(rename("Dryer"), (error) => error instanceof ProblemError && error.is("version-mismatch"));
});

test("a POST with the same key is done once", async () => {
  const header = { "Idempotency-Key": crypto.randomUUID() };
  const make = () => answer(mooring.POST("/v1/rooms", { params: { header }, body: { name: "Attic" } }));
  assert.equal((await make()).id, (await make()).id);
});

test("a command is answered, and the stream tells of it and goes on where it was left", { timeout: 30_000 }, async () => {
  const leave = new AbortController();
  const stream = mooring.stream({ signal: leave.signal });
  const next = async (wanted: (message: StreamMessage) => boolean) => {
    for (;;) {
      const { value, done } = await stream.next();
      assert(!done && value);
      if (wanted(value)) return value;
    }
  };
  await next(({ type }) => type === "open");
  const name = "set-program";
  const params = { path: { ...path, name } };
  const sent = await answer(
    mooring.POST("/v1/devices/{device_id}/commands/{name}", { params, body: { arguments: { program: "wool" } } }),
  );
  assert.equal(sent.status, "answered");
  const isResult = (message: StreamMessage) =>
    message.type === "event" && message.event.kind === "command-result" && message.event.request === sent.request;
  const told = await next(isResult);
  assert(told.type === "event" && told.event.name === name && told.event.device === device);
  leave.abort();
  assert.equal((await stream.next()).done, true);

  // From an event before the result on, the result is told again.
  const id = told.id.split("-");
  const lastEventId = `${id[0]}-${Number(id[1]) - 1}`;
  let again: StreamMessage | undefined;
  for await (const message of mooring.stream({ lastEventId })) {
    again = message;
    if (isResult(message)) break;
    assert.notEqual(message.type, "open", "the result comes before what is live");
  }
  assert(again?.type === "event" && again.id === told.id);
});

test("a stream that is refused throws the problem", async () => {
  const nobody = createClient({ baseUrl, tokens: { token: async () => "mat_wrong" } });
  await assert.rejects(nobody.stream().next(), (error) => error instanceof ProblemError && error.status === 401);
});

test("a stream is opened again after it was cut off, from the last event on", async () => {
  const opened: (string | null)[] = [];
  const cut = createClient({
    baseUrl: "https://mooring.example",
    tokens: signedIn,
    fetch: async (request) => {
      opened.push(request.headers.get("last-event-id"));
      if (opened.length === 2) throw new TypeError("the network is away");
      return new Response(`retry: 1\nid: 7-${opened.length}\nevent: open\ndata: {"devices":1}\n\n:\n\nid: cut`);
    },
  });
  const seen: string[] = [];
  for await (const message of cut.stream()) {
    assert(message.type === "open");
    if (seen.push(message.id) === 2) break;
  }
  assert.deepEqual([seen, opened], [["7-1", "7-3"], [null, "7-1", "7-1"]]);
});
