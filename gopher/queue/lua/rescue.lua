-- Requeue the jobs of workers that have sent no heartbeat for a lease.
--
-- processing -> the head of pending, or failed when its worker was lost too often
--
-- KEYS  1 prefix
-- ARGV  1 limit  2 how often a job may lose its worker  3 default retention ms
--       4 now at the caller's last call ('': its first)  5 ms since that was sent by the caller's own steady clock
--       6 ms since its reply was read by that clock: later than it was executed, as 5 is earlier
-- Returns  STEP and by how many ms, when the server's clock was set: leases are moved along, and no job is
--       rescued; else OK, now, how many were requeued, how many died, then the workers that were lost

local limit, max_lost = tonumber(ARGV[1]), tonumber(ARGV[2])
local STEP_TOLERANCE = 5000 -- ms that two clocks may differ by without one having been set
local LATE = 1000 -- ms after which a call waited so long for this server that others' heartbeats may wait behind it
local STEP_KEPT = 3600000 -- ms that a step is remembered: far longer than the time since any caller's last call
local FENCE_KEPT = 600000 -- ms that a lost worker is remembered: far longer than any of its calls can be under way
allow_when_full()

-- Leases are moved along once, however many callers find that the clock was set, and however often one repeats.
local function moved_since_last_call()
  local moved = redis.call('GET', P .. KEY.clock_set)
  return moved and now >= tonumber(moved) and now - tonumber(moved) < tonumber(ARGV[5])
end

if ARGV[4] ~= '' then
  local passed = now - tonumber(ARGV[4])
  local ahead, behind = passed - tonumber(ARGV[5]), passed - tonumber(ARGV[6])
  local step = ahead > STEP_TOLERANCE and ahead or behind < -STEP_TOLERANCE and behind or 0
  if step ~= 0 and not moved_since_last_call() then
    redis.call('SET', P .. KEY.clock_set, now, 'PX', STEP_KEPT)
    for _, worker in ipairs(redis.call('ZRANGE', P .. KEY.workers, 0, -1)) do
      redis.call('ZINCRBY', P .. KEY.workers, step, worker)
    end
    return { 'STEP', step }
  end
  if ahead > LATE then
    limit = 0
  end
end

local lost = redis.call('ZRANGEBYSCORE', P .. KEY.workers, '-inf', now, 'LIMIT', 0, limit)
for _, worker in ipairs(lost) do
  redis.call('ZADD', P .. KEY.fenced, now, worker)
  redis.call('ZREM', P .. KEY.workers, worker)
  redis.call('DEL', P .. KEY.cancelling .. worker)
end

-- A lost worker stays fenced for a while: the blocking pop of a frozen worker can still receive a job.
local fenced = redis.call('ZRANGE', P .. KEY.fenced, 0, -1, 'WITHSCORES')
for i = 1, #fenced, 2 do
  local worker = fenced[i]
  local own = P .. KEY.processing .. worker
  while limit > 0 do
    local id = redis.call('LINDEX', own, 0)
    if not id then
      break
    end
    give_back(worker, id, COUNTER.rescued, max_lost, ARGV[3])
    redis.call('LPOP', own)
    limit = limit - 1
  end
  if tonumber(fenced[i + 1]) < now - FENCE_KEPT and redis.call('EXISTS', own) == 0 then
    redis.call('ZREM', P .. KEY.fenced, worker)
  end
end

if returned + children_released > 0 then
  ensure_next()
end
write_counts()
return { 'OK', now, returned, died, unpack(lost) }
