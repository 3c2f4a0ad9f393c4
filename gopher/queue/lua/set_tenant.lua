-- Set the weight and the limits of a tenant in a queue. If it rests, it is checked again at once.
--
-- KEYS  1 prefix
-- ARGV  1 tenant  2 weight, '' to delete its settings  3 starts a second ('': not limited)  4 burst
--       5 at once ('': not limited)
-- Returns  SET

local tenant, weight, rate, burst, concurrency = unpack(ARGV)
local bucket = '@' .. tenant
local limit = P .. KEY.limit .. bucket
allow_when_full()

redis.call('DEL', limit)
if rate ~= '' then
  redis.call('HSET', limit, 'rate', rate, 'burst', burst)
end
if concurrency ~= '' then
  redis.call('HSET', limit, 'concurrency', concurrency)
end
local has_limit = rate ~= '' or concurrency ~= ''
if weight == '' or weight == '1' and not has_limit then
  redis.call('HDEL', P .. KEY.tenants, tenant)
else
  redis.call('HSET', P .. KEY.tenants, tenant, weight .. (has_limit and '*' or ''))
end
redis.call('ZADD', P .. KEY.throttled, 'XX', now, bucket)
wake_scheduler_if_first(KEY.throttled, now)
return 'SET'
