-- Check whether a process may use the data, and note the newest protocol that was used. (See gopher/queue/releases.py.)
--
-- KEYS  1 the meta hash
-- ARGV  1 the process's protocol  2 the oldest one beside which it works
-- Returns  {OK, the newest protocol before, 0 for an empty server}, or {TOO OLD, the newest one, the oldest that may be used}
local found = redis.call('HMGET', KEYS[1], 'protocol', 'schema')
local protocol, oldest = tonumber(ARGV[1]), tonumber(found[2]) or 0
-- The releases of protocol 1 noted the second number only.
local newest = tonumber(found[1]) or oldest
if oldest > protocol then
  return { 'TOO OLD', newest, oldest }
end
if newest < protocol then
  redis.call('HSET', KEYS[1], 'protocol', ARGV[1])
end
if oldest < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'schema', ARGV[2])
end
return { 'OK', newest }
