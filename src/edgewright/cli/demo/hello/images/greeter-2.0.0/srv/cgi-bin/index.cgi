#!/bin/sh
# The page, new in 2.0.0 with the curve of the last minute; asking for it counts as a visit.
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
         background: radial-gradient(circle at 20% 10%, hsl(var(--tone) 70% 42%), hsl(calc(var(--tone) + 50) 65% 14%)) }
  main { width: min(90vw, 46rem); padding: 2rem; border-radius: 1.5rem; background: hsl(0 0% 100% / .1);
         box-shadow: 0 1rem 3rem hsl(0 0% 0% / .3) }
  header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; flex-wrap: wrap }
  h1 { margin: 0; font-size: clamp(1.8rem, 6vw, 3.5rem); letter-spacing: -.02em }
  .reading { font-size: clamp(2rem, 8vw, 4rem); font-variant-numeric: tabular-nums }
  svg { width: 100%; height: 12rem; margin: 1rem 0; overflow: visible }
  polyline { fill: none; stroke: hsl(var(--tone) 95% 80%); stroke-width: 2; vector-effect: non-scaling-stroke }
  small { opacity: .7 }
</style>
<main>
  <header>
    <div><h1>$(escape html "$GREETING")</h1>$(escape html "$MACHINE")</div>
    <div class="reading" id="reading">…</div>
  </header>
  <svg viewBox="0 0 59 20" preserveAspectRatio="none" aria-label="the last minute"><polyline id="curve" points=""/></svg>
  <small>version $VERSION · visit number $(visits) · brought here by Edgewright</small>
</main>
<script>
  async function show() {
    try {
      const reading = (await (await fetch("/cgi-bin/state")).json()).reading;
      document.getElementById("reading").textContent = reading ? reading.value.toFixed(1) + " " + reading.unit : "no reading";
      if (!reading) return;
      const low = Math.min(...reading.history), spread = Math.max(...reading.history) - low || 1;
      document.getElementById("curve").setAttribute("points",
        reading.history.map((value, at) => at + "," + (20 - 20 * (value - low) / spread)).join(" "));
    } catch { document.getElementById("reading").textContent = "…" }
  }
  show(); setInterval(show, 1000);
</script>
</html>
PAGE
