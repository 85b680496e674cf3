-- POST the body in BODY, or GET where there is none; say what was found as one line of JSON.
if os.getenv("BODY") then
  wrk.method = "POST"
  wrk.body = os.getenv("BODY")
  wrk.headers["Content-Type"] = "application/json"
end
if os.getenv("PREFER") then wrk.headers["Prefer"] = os.getenv("PREFER") end

done = function(summary, latency)
  local failed = summary.errors
  io.write(string.format('{"requests": %d, "seconds": %f, "median_ms": %f, "failed": %d}\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1000,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout))
end
