// A text through openapi-fetch, with the types of openapi-typescript: node out/send_openapi_fetch.js URL KEY TO
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

async function main(): Promise<void> {
  const [url, key, to] = process.argv.slice(2) as [string, string, string];
  const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

  const request: components["schemas"]["SendRequest"] = { to, body: "Hello from openapi-fetch" };
  const { data, error } = await client.POST("/sms/send", { body: request });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  if (!("id" in data)) throw new Error("only a dry run has no id");
  console.log(data.id);
}

void main();
