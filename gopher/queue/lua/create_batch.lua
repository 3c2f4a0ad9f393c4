-- Create a batch, open for jobs. A repeat changes nothing.
--
-- KEYS  1 prefix
-- ARGV  1 id  2 ms that it is kept after its end, or while it is open and nothing is added  then fields and values: name,
--       owner, callback (a line as that of a job), and of each callback on_<event> (JSON) and queue_<event>
-- Returns  CREATED or EXISTS

local record = P .. KEY.batch .. ARGV[1]
if redis.call('EXISTS', record) == 1 then
  return 'EXISTS'
end
redis.call('HSET', record, 'created', now, 'changed', now, 'retention', ARGV[2], unpack(ARGV, 3))
redis.call('PEXPIRE', record, ARGV[2])
redis.call('ZADD', P .. KEY.batches, now, ARGV[1])
return 'CREATED'
