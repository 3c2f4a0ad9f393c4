-- Release the lease of a worker that stops and holds no jobs.
--
-- KEYS  1 prefix
-- ARGV  1 worker
-- Returns  OK, or HOLDS when its list is not empty: then the lease runs out and the jobs are rescued

if redis.call('EXISTS', P .. KEY.processing .. ARGV[1]) == 1 then
  return 'HOLDS'
end
-- Remembered for a while: its blocking pop may still receive a job.
allow_when_full()
redis.call('ZADD', P .. KEY.fenced, now, ARGV[1])
redis.call('ZREM', P .. KEY.workers, ARGV[1])
redis.call('DEL', P .. KEY.cancelling .. ARGV[1], P .. KEY.commands .. ARGV[1])
return 'OK'
