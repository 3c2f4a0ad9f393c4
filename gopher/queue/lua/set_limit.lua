-- Set how fast and how many jobs of a type may start. What waits already is checked again at once.
--
-- KEYS  1 prefix
-- ARGV  1 type  2 starts a second ('': not limited)  3 burst  4 at once ('': not limited)
--       5 origin: 'api', or 'handler' for what the code declares, which never replaces what an operator set
--       6 '1' when each limit key has such a limit, '' when all jobs of the type share one
-- Returns  SET, or KEPT when an operator's limit stays

local limit = P .. KEY.limit .. ARGV[1]
allow_when_full()
if ARGV[5] == 'handler' and redis.call('HGET', limit, 'origin') == 'api' then
  return 'KEPT'
end

local was_per_key = redis.call('HDEL', limit, 'per_key') == 1
redis.call('HDEL', limit, 'rate', 'burst', 'concurrency', 'origin')
if ARGV[2] ~= '' then
  redis.call('HSET', limit, 'rate', ARGV[2], 'burst', ARGV[3])
end
if ARGV[4] ~= '' then
  redis.call('HSET', limit, 'concurrency', ARGV[4])
end
if ARGV[2] ~= '' or ARGV[4] ~= '' then
  redis.call('HSET', limit, 'origin', ARGV[5])
  if ARGV[6] == '1' then
    redis.call('HSET', limit, 'per_key', '1')
    if not was_per_key then
      mix_throttled(ARGV[1])
    end
  end
end
update_limited(ARGV[1])
check_type_now(ARGV[1])
return 'SET'
