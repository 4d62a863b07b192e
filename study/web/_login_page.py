"""The login page and its script."""

import html

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Studyhall: log in</title>
<link rel="icon" href="data:,">
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0; display: grid; place-items: center; min-height: 100vh;
         color: #1c2733; background: #f4f6f8; }}
  main {{ background: #fff; padding: 2rem 2.5rem; border-radius: .5rem; box-shadow: 0 1px 6px rgb(0 0 0 / .15);
          max-width: 26rem; }}
  h1 {{ font-size: 1.25rem; margin: 0 0 1rem; }}
  input, button {{ font: inherit; padding: .5rem .75rem; border-radius: .25rem; border: 1px solid #8896a5; }}
  input {{ width: 100%; box-sizing: border-box; margin: .25rem 0 1rem; }}
  button {{ background: #06478a; color: #fff; border-color: #06478a; cursor: pointer; }}
  code {{ background: #eef1f4; padding: 0 .25rem; }}
  [role="alert"] {{ color: #a3151f; min-height: 1.5em; margin: 0 0 .5rem; }}
</style>
<script src="/login.js" defer></script>
</head>
<body>
<main>
<h1>Studyhall</h1>
<form id="login" method="post" action="/login" data-known="{known}">
<p role="alert" id="problem">{problem}</p>
<input type="hidden" name="next" value="{wanted}">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
<p>The token is part of the address that <code>studyhall dashboard</code> prints in a terminal, and lies in the file
that it names otherwise.</p>
</main>
</body>
</html>
"""

SCRIPT = """"use strict";
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname + location.search);
const form = document.getElementById("login");
const enter = () => location.replace(new FormData(form).get("next"));

async function logIn(given) {
  const body = new URLSearchParams({ token: given });
  const answer = await fetch("/login", { method: "POST", body, headers: { Accept: "application/json" } });
  if (answer.ok) enter();
  else document.getElementById("problem").textContent = (await answer.json()).reason;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  logIn(new FormData(form).get("token"));
});
if (token) logIn(token);
else if (form.dataset.known) enter();
"""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(wanted: str, *, known: bool, problem: str = "") -> bytes:
    """The page.

    Args:
        wanted: The path to go to when logged in.
        known: Whether the visitor is logged in, and only a token has to be taken out of the address bar.
        problem: What was wrong with the last try.
    """
    return PAGE.format(wanted=html.escape(wanted), known="yes" if known else "", problem=html.escape(problem)).encode()
