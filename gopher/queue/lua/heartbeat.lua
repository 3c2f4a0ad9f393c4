-- Extend a worker's lease on what it holds in this queue, and tell it what to cancel.
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 lease ms  3 '1' to take the lease for the first time
-- Returns  LOST when the lease was taken away, else OK, now, how many jobs are in its list, then the ids of running
--       jobs to cancel

local worker = ARGV[1]
local cancelling = P .. KEY.cancelling .. worker
allow_when_full()

if ARGV[3] ~= '1' and not redis.call('ZSCORE', P .. KEY.workers, worker) then
  -- On a server that was emptied it was never fenced: what its blocking pop is given would be held for good.
  redis.call('ZADD', P .. KEY.fenced, 'NX', now, worker)
  return { 'LOST' }
end
redis.call('ZADD', P .. KEY.workers, now + tonumber(ARGV[2]), worker)
if ARGV[3] == '1' then
  -- Schedulers rarely check a queue without workers.
  wake_scheduler(now)
end

local ids = {}
for _, id in ipairs(redis.call('SMEMBERS', cancelling)) do
  local fields = read_record(id, 'state', 'token')
  if fields[1] == STATE.processing and string.match(fields[2], '^(.*)%.') == worker then
    ids[#ids + 1] = id
  else
    redis.call('SREM', cancelling, id)
  end
end
return { 'OK', now, redis.call('LLEN', P .. KEY.processing .. worker), unpack(ids) }
