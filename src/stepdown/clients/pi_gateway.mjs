// Sends pi's built-in providers through stepdown's gateway, for the process that loads this.
export default function (pi) {
  const url = process.env.STEPDOWN_GATEWAY_URL;
  const project = process.env.STEPDOWN_GATEWAY_PROJECT;
  if (!url) return;
  const headers = project ? { "x-stepdown-project": project } : {};
  pi.registerProvider("anthropic", { baseUrl: url, headers });
  pi.registerProvider("openai", { baseUrl: `${url}/v1`, headers });
}
