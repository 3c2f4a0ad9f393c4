-- Extend a worker's lease on what it holds in this queue, and tell it what to cancel and what it was commanded.
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 lease ms  3 '1' to take the lease for the first time
-- Returns  LOST when the lease was taken away, else OK, now, how many jobs are in its list, a list of commands, then the
--       ids of running jobs to cancel

local worker = ARGV[1]
local cancelling = P .. KEY.cancelling .. worker
allow_when_full()

if ARGV[3] == '1' and redis.call('ZSCORE', P .. KEY.fenced, worker) then
  -- The first heartbeat is repeated after its lease has run out: what the worker fetches would be taken away from it.
  return { 'LOST' }
end
if ARGV[3] ~= '1' and not redis.call('ZSCORE', P .. KEY.workers, worker) then
  -- An emptied server does not know that it was fenced: jobs delivered to its blocking pop would be stuck in its list.
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
-- They expire: this reply may be lost, and the next one has them again.
local commands = redis.call('LRANGE', P .. KEY.commands .. worker, 0, -1)
return { 'OK', now, redis.call('LLEN', P .. KEY.processing .. worker), commands, unpack(ids) }
