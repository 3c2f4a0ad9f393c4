-- Give a worker's lease back when it leaves and holds nothing.
--
-- KEYS  1 prefix
-- ARGV  1 worker
-- Returns  OK, or HOLDS when its list is not empty: then the lease runs out and the jobs are rescued
-- uses: base clock
if redis.call('EXISTS', P .. 'processing:' .. ARGV[1]) == 1 then
  return 'HOLDS'
end
-- Kept in mind for a while: its blocking pop may just be given a job.
open_when_full()
redis.call('ZADD', P .. 'fenced', now, ARGV[1])
redis.call('ZREM', P .. 'workers', ARGV[1])
redis.call('DEL', P .. 'cancelling:' .. ARGV[1])
return 'OK'
