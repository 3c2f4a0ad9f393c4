-- Forget a schedule; the jobs that it has made go on.
--
-- KEYS  1 prefix
-- ARGV  1 name
-- Returns  1 when it was there, else 0
-- uses: base
redis.call('ZREM', P .. 'ticks', ARGV[1])
redis.call('HDEL', P .. 'last', ARGV[1])
return redis.call('HDEL', P .. 'schedules', ARGV[1])
