// A client in TypeScript, typed by what openapi-typescript makes of /openapi.json: node program.js URL BASE64
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

const [url = "", photo = ""] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url });

function texts(captions: components["schemas"]["Caption"][]): string[] {
  return captions.map((caption) => caption.text);
}

async function json(): Promise<string[]> {
  const { data, error } = await client.POST("/v1/captions", { body: { image: photo, num_captions: 2 } });
  if (!data) throw new Error(error.detail);
  if (!("captions" in data)) throw new Error("one photo has captions");
  return texts(data.captions);
}

async function form(): Promise<string[]> {
  const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
  const { data, error } = await client.POST("/v1/captions", {
    body: { image: ["the file, by the serializer below"], max_length: 9 },
    bodySerializer: () => {
      const fields = new FormData();
      fields.append("image", new Blob([bytes]), "one.png");
      fields.append("image", new Blob([bytes]), "two.png");
      return fields;
    },
  });
  if (!data) throw new Error(error.detail);
  if (!("results" in data)) throw new Error("several photos have results");
  return data.results.flatMap((result) => ("captions" in result ? texts(result.captions) : [result.problem.detail]));
}

async function refused(): Promise<string> {
  const { error } = await client.POST("/v1/captions", { body: { image: "bm8=" } });
  return error === undefined ? "it was taken" : `${error.status}`;
}

async function model(): Promise<string> {
  const { data } = await client.GET("/v2/models/{name}", { params: { path: { name: "fake" } } });
  return data === undefined ? "none" : `${data.name} ${data.versions.join()}`;
}

console.log(JSON.stringify({ json: await json(), form: await form(), refused: await refused(), model: await model() }));
