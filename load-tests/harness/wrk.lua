-- Asks random existing codes. Arguments: the file of codes, the length of a code, the seed.
-- No response hook: it would slow wrk. wrk itself counts answers of status 400 and above.

local codes, width, count

local user_agent = "Mozilla/5.0 (Linux; Android 13; V2243A Build/TP1A.220624.014; wv) AppleWebKit/537.36 "
  .. "(KHTML, like Gecko) Version/4.0 Chrome/95.0.4638.74 Mobile Safari/537.36 Kwai/11.9.20.34567 NetType/WIFI"
local after
local sub, random = string.sub, math.random

function init(args)
  local file = assert(io.open(args[1], "rb"))
  codes = file:read("*a")
  file:close()
  width = tonumber(args[2])
  count = #codes / width
  math.randomseed(tonumber(args[3]))
  after = " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\nUser-Agent: " .. user_agent
    .. "\r\nAccept: text/html\r\n\r\n"
end

function request()
  local first = (random(count) - 1) * width
  return "GET /" .. sub(codes, first + 1, first + width) .. after
end

function done(summary, latency, requests)
  io.write(string.format(
    "WRK requests=%d duration_us=%d connect=%d read=%d write=%d status=%d timeout=%d p50=%d p99=%d p999=%d max=%d\n",
    summary.requests, summary.duration, summary.errors.connect, summary.errors.read, summary.errors.write,
    summary.errors.status, summary.errors.timeout, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), latency.max))
end
