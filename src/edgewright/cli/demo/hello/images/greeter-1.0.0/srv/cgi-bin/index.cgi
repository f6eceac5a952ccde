#!/bin/sh
# The page; asking for it counts as a visit.
. /bin/facts
echo >> /data/visits
printf 'Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n\r\n'
cat <<PAGE
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$(escape html "$GREETING")</title>
<style>
  :root { --tone: $TONE }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; color: #fff;
         font: 18px/1.5 system-ui, sans-serif;
         background: linear-gradient(135deg, hsl(var(--tone) 60% 34%), hsl(calc(var(--tone) + 40) 60% 16%)) }
  main { padding: 2rem; text-align: center }
  h1 { margin: 0; font-size: clamp(2rem, 8vw, 5rem); letter-spacing: -.02em }
  .reading { margin: 2rem 0 1rem; font-size: clamp(3rem, 14vw, 8rem); font-variant-numeric: tabular-nums }
  small { opacity: .7 }
</style>
<main>
  <h1>$(escape html "$GREETING")</h1>
  <p>$(escape html "$MACHINE")</p>
  <div class="reading" id="reading">…</div>
  <small>version $VERSION · visit number $(visits) · brought here by Edgewright</small>
</main>
<script>
  async function show() {
    try {
      const state = await (await fetch("/cgi-bin/state")).json();
      const reading = state.reading;
      document.getElementById("reading").textContent = reading ? reading.value.toFixed(1) + " " + reading.unit : "no reading";
    } catch { document.getElementById("reading").textContent = "…" }
  }
  show(); setInterval(show, 1000);
</script>
</html>
PAGE
