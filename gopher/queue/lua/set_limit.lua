-- Set how fast and how many jobs of a type may start. What waits already is looked at again at once.
--
-- KEYS  1 prefix
-- ARGV  1 type  2 starts a second ('': not limited)  3 burst  4 at once ('': not limited)
--       5 origin: 'api', or 'handler' for what the code declares, which never replaces an operator's word
-- Returns  SET, or KEPT when an operator's limit stands
-- uses: base clock alarm wake
local limit = P .. 'limit:' .. ARGV[1]
open_when_full()
if ARGV[5] == 'handler' and redis.call('HGET', limit, 'origin') == 'api' then
  return 'KEPT'
end

redis.call('HDEL', limit, 'rate', 'burst', 'concurrency', 'origin')
if ARGV[2] ~= '' then
  redis.call('HSET', limit, 'rate', ARGV[2], 'burst', ARGV[3])
end
if ARGV[4] ~= '' then
  redis.call('HSET', limit, 'concurrency', ARGV[4])
end
if ARGV[2] ~= '' or ARGV[4] ~= '' then
  redis.call('HSET', limit, 'origin', ARGV[5])
end
note_limited(ARGV[1])
wake(ARGV[1])
return 'SET'
