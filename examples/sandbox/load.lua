-- Calls for wrk: wrk -t2 -c16 -d5s -s examples/sandbox/load.lua http://127.0.0.1:PORT -- RUN
-- Each call has a GUID of its own; RUN, a number, tells the runs against one sandbox apart.

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local run = 0
local calls = 0

function init(arguments)
  run = tonumber(arguments[1]) or 0
end

function request()
  calls = calls + 1
  local headers = {
    ["X-Outbound-Key"] = "sandbox-key",
    ["X-Outbound-GUID"] = string.format("%08x-%04x-4000-8000-%012x", calls, number, run),
    ["Content-Type"] = "application/json",
  }
  local body = '{"user_id":"user-' .. calls % 1000 .. '","event":"purchase",' ..
               '"properties":{"plan":"pro","amount":12.5,"items":["a","b"]}}'
  return wrk.format("POST", "/v2/track", headers, body)
end
