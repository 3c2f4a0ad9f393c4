// Shows the OpenAPI document. If API keys are configured it asks for one, which is kept in this page's memory only.
"use strict";

const openapi = new URL("../openapi.json", document.currentScript.src);
const form = document.getElementById("key");
const trouble = document.getElementById("trouble");

function show(openapi, secret) {
  form.hidden = true;
  const viewer = SwaggerUIBundle({
    spec: openapi,
    dom_id: "#viewer",
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    docExpansion: "list",
    filter: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    onComplete: () => secret && viewer.preauthorizeApiKey("bearer", secret),
  });
}

async function load(secret) {
  const headers = secret ? { Authorization: `Bearer ${secret}` } : {};
  const answer = await fetch(openapi, { headers, cache: "no-store" });
  if (answer.ok) {
    show(await answer.json(), secret);
    return;
  }
  form.hidden = false;
  trouble.textContent = secret ? (await answer.json()).details : "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  load(document.getElementById("secret").value);
});
load("");
