-- Delete a schedule; the jobs that it has made go on.
--
-- KEYS  1 prefix
-- ARGV  1 name
-- Returns  1 when it existed, else 0

redis.call('ZREM', P .. KEY.ticks, ARGV[1])
redis.call('HDEL', P .. KEY.last, ARGV[1])
return redis.call('HDEL', P .. KEY.schedules, ARGV[1])
