-- wrk's half of load.py: fills the two numbers of a request template, spreads them over all keys and
-- routes, and stops sending early so that no request is in flight when wrk hangs up (a request cut off
-- by the load generator would make the gateway's rows and the upstream's count differ).
local ffi = require("ffi")
ffi.cdef [[ typedef struct { long s; long us; } bench_timeval; int gettimeofday(bench_timeval *, void *); ]]
local clock = ffi.new("bench_timeval")

local function now()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.s) + tonumber(clock.us) / 1e6
end

local template, keys, routes, active, turn, stop_at

function init(args)
  local file = assert(io.open(args[1], "rb"))
  template = file:read("*a")
  file:close()
  keys, routes, active, turn = tonumber(args[2]), tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
end

function delay()
  local time = now()
  stop_at = stop_at or time + active
  return time < stop_at and 0 or 3600000
end

function request()
  turn = turn + 1
  return string.format(template, turn % keys, turn % routes)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nBENCH {"requests": %d, "errors": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
