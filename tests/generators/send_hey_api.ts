// A text through the client of @hey-api/openapi-ts: node out/send_hey_api.js URL KEY TO
import { sendMessage } from "./hey";
import { client } from "./hey/client.gen";

async function main(): Promise<void> {
  const [url, key, to] = process.argv.slice(2) as [string, string, string];
  client.setConfig({ baseUrl: url, auth: () => key });

  const { data, error } = await sendMessage({ body: { to, body: "Hello from @hey-api/openapi-ts" } });
  if (error) throw new Error(`${error.code}: ${error.detail}`);
  if (!data || !("id" in data)) throw new Error("only a dry run has no id");
  console.log(data.id);
}

void main();
